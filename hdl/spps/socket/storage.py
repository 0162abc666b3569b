"""Boundary between the socket memory controller and the memory that holds its pages."""
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["write_signature", "read_signature", "row_layout", "answer_layout"]


def row_layout(geometry):
    """Return the layout of a row to be written: bit i of `strobe` is for byte i of `data`, in wire order."""
    return data.StructLayout({"data": 8 * geometry.lanes, "strobe": geometry.lanes})


def answer_layout(geometry):
    """Return the layout of a row that was read, or of the error of reading it."""
    return data.StructLayout({"data": 8 * geometry.lanes, "err": 1})


def write_signature(geometry):
    """Return the signature of writes, seen from the writer.

    burst : Out(stream of burst_layout)
        Rows of one page that follow on `row`.
    row : Out(stream of row_layout)
        Rows of all bursts, in order.
    written : In(1)
        One clock per burst, when later reads will see it.
    error : In(1)
        With `written`: the burst failed.
    """
    return wiring.Signature({
        "burst": Out(stream.Signature(geometry.burst_layout())), "row": Out(stream.Signature(row_layout(geometry))),
        "written": In(1), "error": In(1),
    })


def read_signature(geometry):
    """Return the signature of reads, seen from the reader.

    burst : Out(stream of burst_layout)
        Rows of one page that are wanted.
    answer : In(stream of answer_layout)
        Rows of all bursts, in order.
    """
    return wiring.Signature({
        "burst": Out(stream.Signature(geometry.burst_layout())),
        "answer": In(stream.Signature(answer_layout(geometry))),
    })
