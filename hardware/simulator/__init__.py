"""The integer simulator: a readable reference of the arithmetic, the kernels that compute the same faster, and counting."""
