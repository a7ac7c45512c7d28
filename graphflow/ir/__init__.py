"""The graph IR: immutable nodes in SSA form, their text, the verifier, and the NumPy interpreter that defines their meaning."""
