"""The graph IR: immutable nodes in SSA form, their text, the verifier, and the interpreter that defines their meaning."""
