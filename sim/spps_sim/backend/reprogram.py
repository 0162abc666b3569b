"""A new program into a unit that goes on serving: cluster by cluster, event-type masks and all (patent §V, §III.F).

    for _ in (steps := Reprogram(sim, unit, image)):
        ...                     # let time pass; traffic goes on
    print(steps.clusters)

A cluster gets no events while it gets the program; the others serve.
"""
from typing import NamedTuple

from spps.tools.errors import ToolError

__all__ = ["Reprogram", "ClusterSwap", "read_image"]


class ClusterSwap(NamedTuple):
    """Cycles: when the cluster got no more events, when its last one had ended, when it served again."""

    cluster: int
    masked: int
    idle: int
    back: int


def read_image(name, params):
    """"default", or a file that the assembler takes, as an Image for units with `params`.

    Raises ToolError naming what is wrong with the file.
    """
    from spps.ucode.asm import AssemblerError, assemble
    from spps.ucode.programs import default_image
    if name == "default":
        return default_image((), params.imem_words, params.connections)
    try:
        return assemble(name, imem_words=params.imem_words)
    except AssemblerError as error:
        raise ToolError("\n".join(error.errors)) from error
    except OSError as error:
        raise ToolError(f"{name}: {error.strerror}") from error


class Reprogram:
    """The steps of a new program: iterate over it, and let time pass between the steps.

    A step is `chunk` words, or one look at a cluster that has still events.

    sim: Simulation. unit: number. image: Image or words. clusters: what has been done so far.
    A cluster whose masks are 0 gets no events; flows that were there go on at the others. Raises ValueError
    for a unit of one cluster, and for an image that does not fit.
    """

    def __init__(self, sim, unit, image, *, chunk=64):
        if sim.params.clusters < 2:
            raise ValueError(f"clusters={sim.params.clusters}: must be at least 2, so that one serves "
                             "while another gets the program")
        self.sim, self.unit, self.chunk = sim, unit, chunk
        self.words = sim.checked_image(image)
        self.clusters = []

    def __iter__(self):
        sim, unit, params = self.sim, self.unit, self.sim.params
        for cluster in range(params.clusters):
            cores = range(cluster * params.cores, (cluster + 1) * params.cores)
            masks = {core: sim.read(unit, f"mask_{core}") for core in cores}
            for core in cores:
                sim.write(unit, f"mask_{core}", 0)
            masked = sim.cycle
            while any(sim.read(unit, f"outstanding_{core}") for core in cores):
                yield
            idle = sim.cycle
            for number, _ in enumerate(sim.image_writes(unit, cluster, self.words)):
                if number % self.chunk == self.chunk - 1:
                    yield
            for core, mask in masks.items():
                sim.write(unit, f"mask_{core}", mask)
            self.clusters.append(ClusterSwap(cluster, masked, idle, sim.cycle))
            yield
