"""PyTorch's side of the speed comparison: the cases of `speed.rs`, measured in the same way.

Needs torch (pip install torch).  Usage: python torch_reference.py --case NAME [--mode eager] [--threads 2] [--repeats 7]
Prints a line as `speed.rs` does: name, median milliseconds, images per second, peak resident MiB.
Modes: `eager`; `channels-last`, which is eager with that layout; `compile`, which is `torch.compile` and needs a C compiler.
The networks are the book's ResNet-18 (a 7x7 stem, max pooling, biased convolutions; Adam) and EfficientNet's block; f32.
"""
import argparse
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class MBConv(nn.Module):
    def __init__(self, channels):
        super().__init__()
        hidden, squeezed = 6 * channels, channels // 4
        self.expand = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.SiLU()
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, hidden, 1), nn.Sigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        return self.project(y * self.gate(y)) + x


def resnet18():
    layers = [nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for channels_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, channels_out, stride), Block(channels_out, channels_out, 1)]
        channels = channels_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def median(run, repeats):
    run()
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def prepare(layer, x, mode):
    """The layer and its input as a mode wants them."""
    if mode == "channels-last":
        layer = layer.to(memory_format=torch.channels_last)
        x = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_(x.requires_grad)
    return (torch.compile(layer) if mode == "compile" else layer), x


def number(part):
    return int(part.lstrip("bck"))


def measure(name, mode, repeats):
    """Seconds of one run of a case, and the images in it."""
    kind, work, *sizes = name.split("/")
    sizes = [number(size) for size in sizes]
    images = sizes[0]
    if kind == "resnet18":
        model, x = prepare(resnet18(), torch.randn(images, 1, sizes[1], sizes[1]), mode)
        if work == "infer":
            model.eval()
            with torch.no_grad():
                return median(lambda: model(x), repeats), images
        labels = torch.randint(0, 10, (images,))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step():
            optimizer.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return median(step, repeats), images
    if kind == "mbconv":
        x = torch.randn(images, sizes[1], sizes[2], sizes[2], requires_grad=True)
        block, x = prepare(MBConv(sizes[1]), x, mode)

        def train():
            x.grad = None
            block.zero_grad()
            block(x).mean((2, 3)).square().mean().backward()

        return median(train, repeats), images
    _, channels, size, kernel = sizes
    x = torch.randn(images, channels, size, size, requires_grad=True)
    if kind == "maxpool":
        layer = nn.MaxPool2d(kernel, 2, 1)
    else:
        groups = channels if kind == "depthwise" else 1
        layer = nn.Conv2d(channels, channels, kernel, 1, kernel // 2, groups=groups, bias=groups == 1)
    layer, x = prepare(layer, x, mode)
    if work != "fwd+bwd":
        with torch.no_grad():
            return median(lambda: layer(x), repeats), images

    def both():
        x.grad = None
        layer.zero_grad()
        y = layer(x)
        y.backward(y.detach())

    return median(both, repeats), images


arguments = argparse.ArgumentParser()
arguments.add_argument("--case", required=True)
arguments.add_argument("--mode", choices=["eager", "channels-last", "compile"], default="eager")
arguments.add_argument("--threads", type=int, default=2)
arguments.add_argument("--repeats", type=int, default=7)
options = arguments.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)
seconds, images = measure(options.case, options.mode, options.repeats)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{options.case:34s} {seconds * 1e3:9.2f} ms {images / seconds:9.1f} img/s {peak:8.0f} MiB", flush=True)
