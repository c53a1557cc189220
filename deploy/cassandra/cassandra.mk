# A real Cassandra on this machine's loopback addresses. Included by the top Makefile.
#
#   make cassandra            one node on 127.0.0.1, until Ctrl-C
#   make cassandra NODES=3    three nodes on 127.0.0.1 to 127.0.0.3
#   make cassandra CASSANDRA_PREFIX=127.0.7 CASSANDRA_DATA=var/other

NODES ?= 1
CASSANDRA_PREFIX ?= 127.0.0
CASSANDRA_DATA ?= var/cassandra
CASSANDRA_LAUNCHER = $(PYTHON) -m deploy.cassandra
CASSANDRA_PLACE = --prefix $(CASSANDRA_PREFIX) --data-dir $(CASSANDRA_DATA)

.PHONY: cassandra cassandra-stop cassandra-status

cassandra: ## Start a real Cassandra (NODES=1 or 3) and keep it until Ctrl-C
	@exec $(CASSANDRA_LAUNCHER) start --nodes $(NODES) $(CASSANDRA_PLACE)

cassandra-stop: ## Stop the Cassandra that was started, also after a crash of its launcher
	@$(CASSANDRA_LAUNCHER) stop $(CASSANDRA_PLACE)

cassandra-status: ## Tell which Cassandra nodes run and answer
	@$(CASSANDRA_LAUNCHER) status --nodes $(NODES) $(CASSANDRA_PLACE)
