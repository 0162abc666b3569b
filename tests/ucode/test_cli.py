import json
from pathlib import Path

from click.testing import CliRunner

import spps.ucode
from spps.cli import main
from spps.ucode.asm import assemble
from spps.ucode.doc import isa_markdown


def invoke(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_asm_writes_hex_listing_and_symbols(tmp_path):
    source = tmp_path / "p.uasm"
    source.write_text(".ifdef A\nx: li r1, N\n.endif\n eoe r0, r0\n")
    result = invoke("asm", source, "-o", tmp_path / "p.hex", "--list", tmp_path / "p.lst", "--sym", tmp_path / "p.json",
                    "-D", "A", "-D", "N=7")
    assert result.exit_code == 0 and result.output == "p.uasm: 2 of 4096 words\n"
    image = assemble(source, defines=["A", "N=7"])
    assert (tmp_path / "p.hex").read_text() == image.hex()
    assert (tmp_path / "p.lst").read_text() == image.listing()
    assert json.loads((tmp_path / "p.json").read_text())["labels"] == {"x": 0}
    assert invoke("disasm", tmp_path / "p.hex").output.split(";")[0].strip() == "li    r1, 7"


def test_asm_prints_one_line_per_error_and_fails(tmp_path):
    source = tmp_path / "p.uasm"
    source.write_text(" foo\n li r1\n")
    result = invoke("asm", source, "-o", tmp_path / "p.hex")
    assert result.exit_code == 1 and not (tmp_path / "p.hex").exists()
    lines = result.output.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["p.uasm:1:", "p.uasm:2:"]


def test_asm_obeys_the_size_of_the_instruction_memory(tmp_path):
    source = tmp_path / "p.uasm"
    source.write_text("nop\n" * 3)
    assert invoke("asm", source, "--words", 2).exit_code == 1


def test_disasm_names_the_bad_line(tmp_path):
    (tmp_path / "p.hex").write_text("000000000\nxyz\n")
    result = invoke("disasm", tmp_path / "p.hex")
    assert result.exit_code == 1 and "p.hex:2: `xyz`, expected 9 hex digits" in result.output


def test_isa_md_is_current():
    committed = Path(spps.ucode.__file__).parent / "ISA.md"
    assert committed.read_text(encoding="utf-8") == isa_markdown(), "run: make docs"
    assert invoke("isa").output == isa_markdown()
