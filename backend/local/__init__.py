"""The whole system on one machine: queue server, backend and a local Label Studio, started and stopped together."""
