"""Boundary between the socket memory controller and the memory that holds its pages."""
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["write_signature", "read_signature", "row_layout", "answer_layout"]


def row_layout(geometry):
    """A row to be written: byte i of `data` counted from the most significant one belongs to bit i of `strobe`."""
    return data.StructLayout({"data": 8 * geometry.lanes, "strobe": geometry.lanes})


def answer_layout(geometry):
    return data.StructLayout({"data": 8 * geometry.lanes, "err": 1})


def write_signature(geometry):
    """burst: some rows of one page to come, row: the rows of all bursts in order; written: one clock per burst that later reads will
    see, error: with it.
    """
    return wiring.Signature({
        "burst": Out(stream.Signature(geometry.burst_layout())), "row": Out(stream.Signature(row_layout(geometry))),
        "written": In(1), "error": In(1),
    })


def read_signature(geometry):
    """burst: rows of one page wanted; answer: the rows of all bursts in order."""
    return wiring.Signature({
        "burst": Out(stream.Signature(geometry.burst_layout())), "answer": In(stream.Signature(answer_layout(geometry))),
    })
