"""``--device``: where models are trained and score.

An option and no setting: a run's config must not depend on the machine, so that another one can go on with it.
"""

import argparse


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="auto, cpu, cuda, cuda:N or mps (default: auto, a CUDA card where there is one, else the CPU)",
    )


def device_of(args: argparse.Namespace) -> str:
    """The device that was asked for, as torch calls it.

    Raises:
        UserError: there is none of this name on this machine.
    """
    from concordant.models.devices import find_device

    return find_device(args.device)
