"""What a training run is: one frozen, typed structure that is the TOML file, the command line's flags and what is saved."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0.0)]


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which samples, and how they become spikes."""

    name: Literal[
        "digits",
        "mnist",
        "fashion_mnist",
        "cifar10",
        "imagenet",
        "nmnist",
        "fsdd",
        "dvs128_gesture",
        "cifar10_dvs",
        "shd",
    ] = "digits"
    """The data set. `digits` comes with scikit-learn; the others are read from the folder FILOPODIA_DATA names. Nothing is
    downloaded."""
    encoding: Literal["rate", "latency", "direct", "frames"] = "rate"
    """How an intensity becomes T steps: evenly spaced spikes, one spike (the earlier the brighter), or the value itself;
    `frames` for the sets that come in steps (nmnist, fsdd, dvs128_gesture, cifar10_dvs, shd)."""
    steps: Positive = 8
    """T, the steps of one sample."""
    shift: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Training images are moved by up to this many pixels each way; 0 leaves them in place."""
    flip: bool = False
    """Training images are mirrored left to right half of the time."""
    train_samples: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Only the first so many training samples; 0 takes all."""


class NetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network."""

    name: Literal["csnn", "sew_resnet18", "recurrent"] = "csnn"
    """`csnn`: convolutions, each followed by BatchNorm and neurons, then linear layers, the last one spiking too; without
    convolutions an MLP. `sew_resnet18`: the ResNet with spike-element-wise ADD shortcuts. `recurrent`: a linear layer, a
    recurrent one and the output, for samples without an image plane."""
    channels: tuple[Positive, ...] = (16, 64)
    """Output channels of the convolutions (3 × 3)."""
    pool: tuple[Positive, ...] = (2, 1)
    """Pooling after each convolution: the side of its window, 1 for none."""
    pooling: Literal["average", "max"] = "average"
    """Which pooling. Average pooling is linear, so a chip can take it into the next layer's weights."""
    hidden: tuple[Positive, ...] = (128,)
    """Neurons of the hidden linear layers (of `recurrent`: one number, its recurrent neurons)."""
    batch_norm: Literal["all", "convolutions", "none"] = "all"
    """Which weighted layers a BatchNorm follows; the others have a bias instead."""
    votes: Positive = 2
    """Output neurons per class; neighbours belong to one class and their spikes are summed."""
    neuron: Literal["lif", "if"] = "lif"
    """Leaky integrate-and-fire, or without the leak."""
    tau: Annotated[float, msgspec.Meta(gt=1.0)] = 2.0
    """Membrane time constant of `lif`, in steps."""
    dropout: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    """Share of spikes dropped before each linear layer while training."""


class PruneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it becomes sparse."""

    method: Literal[
        "stds", "dense", "soft_threshold", "grad_r", "gradual_magnitude", "one_shot_magnitude", "random", "set", "rigl", "upr"
    ] = "stds"
    """The pruner; `dense` prunes nothing. All the others end on the same target and train the same number of steps."""
    target_sparsity: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.9
    """Zero weights over all pruned weights at the end, reached exactly."""
    target_synapse_sparsity: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    """For `stds`, instead: zero synapses (a convolution's weight counts wherever it is applied); 0 leaves this out."""
    target_synops: NonNegative = 0.0
    """For `stds`, instead: synaptic operations per sample in the pruned layers; 0 leaves this out."""
    cost_weighting: NonNegative = 0.0
    """With one of these two: thresholds grow with what a layer's synapses cost, to this power."""
    threshold: NonNegative = 0.0
    """For `stds`, instead: the paper's open loop, d grows to this value; where sparsity ends is left open."""
    strength: NonNegative = 0.0
    """For `stds`, instead: the L1 strength λ, d grows by this times the learning rate at every step."""
    schedule: Literal["constant", "linear", "sine", "cubic", "cosine_lr"] = "cubic"
    """The curve along which sparsity (or d) grows to the target."""
    start: Share = 0.0
    """When pruning starts, as a share of all optimizer steps."""
    end: Share = 0.6
    """When the target is reached and only held."""
    freeze: Share = 0.7
    """When the mask is fixed; the rest fine-tunes what is left."""
    dense: tuple[str, ...] = ()
    """Layers left unpruned, by name or pattern ("conv1", "fc*")."""


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run."""

    data: DataConfig = DataConfig()
    net: NetConfig = NetConfig()
    prune: PruneConfig = PruneConfig()
    epochs: Positive = 50
    """Passes over the training samples."""
    quantize_epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Passes that follow in fixed point (the integers of a chip: weights, biases, thresholds, leaks and voltages), at a tenth
    of the learning rate, so that the deployed network is the trained one; 0 leaves rounding to the compiler."""
    batch_size: Positive = 64
    """Samples per optimizer step."""
    learning_rate: Annotated[float, msgspec.Meta(gt=0.0)] = 3e-3
    """At its highest."""
    lr_schedule: Literal["cosine", "constant"] = "cosine"
    """`cosine` falls to zero over the run."""
    weight_decay: NonNegative = 0.0
    """On the weights, not on BatchNorm or biases; decoupled with AdamW."""
    loss: Literal["mse", "cross_entropy"] = "mse"
    """Of the output's mean over the steps: its squared distance to one-hot, or the cross-entropy of `logit_scale` times it."""
    logit_scale: Annotated[float, msgspec.Meta(gt=0.0)] = 10.0
    """Firing rates end at 1, too little for a cross-entropy; an output that does not spike takes 1."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    """Share of each label spread evenly over all classes."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Adam with decoupled weight decay, or SGD with momentum 0.9."""
    accumulate: Positive = 1
    """Forward passes an optimizer step is split into, for batches larger than the memory."""
    rate_penalty: NonNegative = 0.05
    """Added to the loss: this times the mean firing rate of the hidden neurons. Energy follows spikes."""
    synop_penalty: NonNegative = 0.0
    """Added to the loss: this times the synaptic operations behind the hidden neurons, over those of a dense network that fires
    always. Unlike `rate_penalty` it weighs each spike by the synapses that live behind it."""
    synop_budget: NonNegative = 0.0
    """Synaptic operations per sample, all layers, that the strength of this penalty is steered to while training (instead of
    the constant `synop_penalty`), whatever the pruner and its target; 0 leaves this out."""
    validation: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    """Share of the training samples held out to choose the epoch whose weights are kept, among those at the target sparsity;
    0 keeps the last epoch's."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass while training (autocast; fp16 with loss scaling). θ and the evaluation stay in fp32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU if there is one."""
    tensorboard: bool = False
    """Also write the telemetry for TensorBoard into the run folder (needs the extra `tensorboard`)."""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of the initial weights, the order and the augmentation. The same seed gives the same run on a CPU."""
    threads: Annotated[int, msgspec.Meta(ge=0)] = 1
    """CPU threads; 0 leaves torch's own choice. The sums, and so the run, depend on it. Small nets gain little
    from a second."""
