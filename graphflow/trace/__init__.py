"""Recording Python code into graphs: the recorders, gf.trace and gf.compile."""
