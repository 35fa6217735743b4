"""Train spiking networks sparse: the spine-state pruner (STDS), its rivals, networks, data and the trainer."""

if __name__ == "prune":
    raise ImportError("write `from filopodia import prune`: this folder is the package filopodia.prune, not a top-level module")
