"""Learning from labels, and from what other networks say."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from teaching.changes import Changes
from teaching.network import Network
from teaching.optimiser import RECIPE, Optimiser

BATCH = 128
# Batches that statistics of the mean weights are measured on.
MEASURED = 40
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learn(architecture: str, changes: Changes, pixels: Tensor, labels: Tensor, *, epochs: int, seed: int) -> Network:
    """Train a network on labels.

    Parameters
    ----------
    architecture
        Of `teaching.network.ARCHITECTURES`.
    pixels, labels
        uint8 ``(n, 96, 96, 3)`` and ``(n,)``, on `DEVICE`.
    """
    torch.manual_seed(seed)
    network = Network(architecture).to(DEVICE)
    optimiser = Optimiser(network)
    index = torch.zeros(BATCH, dtype=torch.long, device=DEVICE)
    targets = labels.float() * (1 - RECIPE["label_smoothing"]) + RECIPE["label_smoothing"] / 2

    def step() -> None:
        logits = network(changes(as_input(pixels[index])))
        loss = F.binary_cross_entropy_with_logits(logits, targets[index])
        optimiser.apply(torch.autograd.grad(loss, optimiser.weights))

    run_epochs(step, index, [optimiser], len(pixels), epochs, f"{architecture}, seed {seed}")
    return finish(network, optimiser, pixels)


def learn_from(
    teachers: Sequence[Network], sizes: Sequence[str], changes: Changes, pixels: Tensor, *, epochs: int, seed: int
) -> list[Network]:
    """Train networks side by side on what the teachers say of the same changed patches, half of them mixed by twos."""
    torch.manual_seed(seed)
    networks = [Network(size).to(DEVICE) for size in sizes]
    optimisers = [Optimiser(network) for network in networks]
    index = torch.zeros(BATCH, dtype=torch.long, device=DEVICE)

    def step() -> None:
        views = changes(as_input(pixels[index]))
        share = torch.rand(BATCH, 1, 1, 1, device=DEVICE)
        share = torch.where(torch.rand_like(share) < 0.5, share, torch.ones_like(share))
        views = (share * views + (1 - share) * views.flip(0)).round()
        with torch.no_grad():
            target = torch.stack([teacher(views).sigmoid() for teacher in teachers]).mean(0)
        for network, optimiser in zip(networks, optimisers, strict=True):
            loss = F.binary_cross_entropy_with_logits(network(views), target)
            optimiser.apply(torch.autograd.grad(loss, optimiser.weights))

    run_epochs(step, index, optimisers, len(pixels), epochs, f"taught {', '.join(sizes)}")
    return [finish(network, optimiser, pixels) for network, optimiser in zip(networks, optimisers, strict=True)]


def run_epochs(
    step: Callable[[], None], index: Tensor, optimisers: Sequence[Optimiser], count: int, epochs: int, name: str
) -> None:
    """Take steps, each on the patches that ``index`` names, at a rate that rises, then falls to nothing."""
    replay = captured(step, optimisers)
    steps, done, began = count // BATCH, 0, time.time()
    rising, all_steps = RECIPE["warmup_epochs"] * steps, epochs * steps
    for _ in range(epochs):
        for chosen in torch.randperm(count, device=DEVICE)[: steps * BATCH].split(BATCH):
            rate = RECIPE["learning_rate"] * min(done / rising, (all_steps - done) / (all_steps - rising))
            for optimiser in optimisers:
                optimiser.rate.fill_(rate)
            index.copy_(chosen)
            replay()
            done += 1
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    print(f"{name}: {epochs} epochs, {done * BATCH / (time.time() - began):.0f} patches/s", flush=True)


def captured(step: Callable[[], None], optimisers: Sequence[Optimiser]) -> Callable[[], None]:
    """Return a step as one graph of the GPU. It is taken a few times for that, at a rate of zero, and forgotten."""
    if DEVICE.type != "cuda":
        return step
    torch.backends.cudnn.benchmark = True
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for optimiser in optimisers:
        optimiser.forget()
    return graph.replay


def finish(network: Network, optimiser: Optimiser, pixels: Tensor) -> Network:
    """Put the running mean in, with statistics of its own, measured on patches as they are."""
    optimiser.put_mean_in()
    chosen = torch.randperm(len(pixels), device=DEVICE)[: MEASURED * BATCH]
    network.measure(as_input(pixels[part]) for part in chosen.split(BATCH))
    return network


def as_input(pixels: Tensor) -> Tensor:
    """Return uint8 ``(n, side, side, 3)`` as networks and changes take it."""
    return pixels.permute(0, 3, 1, 2).float()


@torch.no_grad()
def predict(network: Network, pixels: Tensor) -> Tensor:
    """Return the logits of patches, uint8 ``(n, 96, 96, 3)``."""
    return torch.cat([network(as_input(part.to(DEVICE))) for part in pixels.split(512)]).cpu()
