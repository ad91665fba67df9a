"""The same questions to Unbound and to the appliance, from the same authoritative servers.

`catalogue` is the tree of zones, `questions` makes the questions of it, `asking` asks them, `compare`
says where two answers differ, `rules` explains each difference by an RFC, `report` writes the table.
"""
