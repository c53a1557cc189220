# `make faults SECONDS=1800 SEED=2`; KEEP=FILE writes the report to a file as well.
SECONDS ?= 60
SEED ?= 1

.PHONY: faults-overload
faults-overload: $(READY) ## Let publishers send three times what the system carries, for SECONDS=60
	$(BIN)/python -m tests.fault.doors.overload --seconds $(SECONDS)

.PHONY: faults
faults: $(READY) ## Attack a whole system of real processes for SECONDS=60 by the schedule of SEED=1, and judge what clients saw
	$(BIN)/python -m tests.fault --seconds $(SECONDS) --seed $(SEED) $(if $(KEEP),--keep $(KEEP))
