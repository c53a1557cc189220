# `make bench` measures everything, `make bench-publish1` one bench with its ceilings; BENCH="--rounds 9 --seconds 10".
BENCH ?=

.PHONY: bench
bench: $(READY) ## Measure ratios on this machine, beside the committed baseline; bench-NAME for one of them
	$(BIN)/python -m tests.bench $(BENCH)
	$(MAKE) bench-million-queues

bench-%: $(READY)
	$(BIN)/python -m tests.bench $* $(BENCH)

.PHONY: bench-million-queues
bench-million-queues: $(READY) ## Measure publishes, creations and memory at QUEUES=1000000 beside a thousand
	$(BIN)/python -m tests.bench.million --queues $(or $(QUEUES),1000000) $(filter-out --keep,$(BENCH))

.PHONY: bench-streams
bench-streams: $(READY) ## Measure READERS=5000 event streams on one front-end process: memory, delivery, publishing beside
	$(BIN)/python -m tests.bench.streams --readers $(or $(READERS),5000)

.PHONY: bench-neighbour
bench-neighbour: $(READY) ## Measure what a noisy application takes from a quiet one, with quotas and without
	$(BIN)/python -m tests.bench.neighbour

.PHONY: bench-link bench-store
bench-link: $(READY) ## Measure the link alone
	$(BIN)/python -m tests.bench.link

bench-store: $(READY) ## Measure the embedded store alone, a million queues included
	@mkdir -p var
	$(BIN)/python -m tests.bench.store_sqlite --queues $(or $(SIZE),1000000)

.PHONY: bench-cassandra-pages
bench-cassandra-pages: $(READY) ## Measure pages of a queue of MESSAGES=10000000 on a real Cassandra
	$(BIN)/python -m tests.bench.cassandra_pages --messages $(or $(MESSAGES),10000000)

.PHONY: bench-cassandra-queues bench-cassandra-expiry
bench-cassandra-queues: $(READY) ## Measure publishes, reads and listings at QUEUES=1000000 on a real Cassandra beside a thousand
	$(BIN)/python -m tests.bench.cassandra_queues --queues $(or $(QUEUES),1000000)

bench-cassandra-expiry: $(READY) ## Watch expired messages leave the disk of a real Cassandra (some ten minutes)
	$(BIN)/python -m tests.bench.cassandra_expiry

.PHONY: bench-budget bench-cassandra-speed
bench-budget: $(READY) ## Measure who spends the CPU of one publish
	$(BIN)/python -m tests.bench.budget

bench-cassandra-speed: $(READY) ## Measure batches, guarantees and 1, 2, 4 storage nodes on a real Cassandra, in PARTS of it
	$(BIN)/python -m tests.bench.cassandra_speed $(PARTS) $(filter-out --keep,$(BENCH))
