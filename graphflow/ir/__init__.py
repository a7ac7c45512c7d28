"""The graph IR: immutable nodes in SSA form, their text, the verifier, and the interpreter that gives them meaning."""
