"""Names of uploads."""

import pytest

from cspm.uploads import NAMELESS, ToDisk, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.csv", "report.csv"),
        ("rapport d’été.csv", "rapport d’été.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\reports\\a.csv", "a.csv"),
        ("a\0b\r\n\x1b[31m.csv", "ab[31m.csv"),
        ("\u202egpj.exe", "gpj.exe"),
        ("\ud800.csv", ".csv"),
        ("x" * 999, "x" * 200),
        ("", NAMELESS), (".", NAMELESS), ("..", NAMELESS), (" / ", NAMELESS), ("\0", NAMELESS),
    ],
)  # fmt: skip
def test_a_name_is_its_last_printable_part(name, safe):
    assert safe_name(name) == safe


def test_the_file_on_disk_bears_nothing_of_the_senders_name(settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    handler = ToDisk()
    handler.new_file("file", "a." + "é" * 300, "text/csv", 3)
    handler.receive_data_chunk(b"a;b", 0)

    file = handler.file_complete(3)

    (path,) = tmp_path.iterdir()
    assert path.suffix == ".upload"
    assert (file.read(), file.size, file.name) == (b"a;b", 3, "a." + "é" * 198)
    file.close()
    assert not path.exists()
