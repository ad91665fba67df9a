"""Measures Nexus beside its peers: same machine, same run, alternated rounds, medians.

`bed` is the wire between a generator and the server under test, `contestants` are the servers,
`rate`, `latency` and `misses` are what is measured, `report` and `plot` show it. Start at `main`.
"""
