"""The compiler: passes from a network to integers on neurocores. `pipeline.compile` runs them; each can be called alone."""
