"""Events of a run, counted exactly, times what a chip charges for them. Counting knows no prices."""
