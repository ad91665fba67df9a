"""Hosts made of network namespaces, with real DNS servers and the appliance in them.

`run.Run` owns everything that a lab makes (namespaces, processes, one folder) and removes it, on
failure and on signals too. It never touches an interface, address or file of the machine itself.
Start at `world.World`, which builds the usual lab: a client, appliances, authoritative servers.
"""
