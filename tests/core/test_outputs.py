"""What may be replaced: only what we wrote, and nothing of a stranger, whatever kind of folder or file it is."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import model_dir
from accel.atomic import write_file
from accel.errors import OutputError
from accel.hdl import manifest
from accel.outputs import File, Folder, check_output, check_outputs
from tests.core.outputs import WRITERS, design_values, everything, write_design, write_model

MARK = b"written by Bitloom: test"
both = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def refuses(write, path, *words):
    """write(path) is refused in one short sentence with these words."""
    with pytest.raises(OutputError) as caught:
        write(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) <= 400 and message.isprintable()
    for word in words:
        assert word in message
    return message


@both
def test_an_own_folder_is_replaced_and_nothing_else_appears(write, tmp_path):
    write(tmp_path / "out")
    before = everything(tmp_path)
    write(tmp_path / "out")
    assert everything(tmp_path) == before


# name -> (what a stranger does in the folder `out`, words of the refusal); the folder is one of ours before
CHANGES = {
    "file": (lambda out: (out / "thesis.txt").write_text("years"), "it holds thesis.txt"),
    "hidden file": (lambda out: (out / ".env").write_text("x"), "it holds .env"),
    "empty folder": (lambda out: (out / "notes").mkdir(), "it holds notes"),
    "folder": (lambda out: shutil.copytree(out, out / "copy"), "it holds copy"),
    "link": (lambda out: (out / "link").symlink_to("/"), "it holds link"),
    "dangling link": (lambda out: (out / "link").symlink_to("nowhere"), "it holds link"),
    "pipe": (lambda out: os.mkfifo(out / "pipe"), "it holds pipe"),
    "odd name": (lambda out: (out / "a\nb\x1b").write_text("x"), "it holds a\\nb\\x1b"),
    "long name": (lambda out: (out / ("n" * 250)).write_text("x"), "it holds nnn"),
    "git": (lambda out: (out / ".git" / "objects").mkdir(parents=True), "it holds .git"),
}


@both
@pytest.mark.parametrize("case", CHANGES)
def test_anything_added_keeps_the_folder(write, tmp_path, case):
    write(tmp_path / "out")
    change, words = CHANGES[case]
    change(tmp_path / "out")
    before = everything(tmp_path)
    refuses(write, tmp_path / "out", words)
    assert everything(tmp_path) == before


@both
def test_every_file_that_was_changed_or_is_another_kind_of_thing_keeps_the_folder(write, tmp_path):
    write(tmp_path / "out")
    names = [name for name, data in everything(tmp_path / "out").items() if data is not None]
    for index, name in enumerate(names):
        for kind in ("edited", "longer", "link"):
            out = tmp_path / f"{index}-{kind}"
            write(out)
            path = out / name
            if kind == "edited":
                path.write_bytes(path.read_bytes().replace(path.read_bytes()[5:6], b"?", 1))
            elif kind == "longer":
                path.write_bytes(path.read_bytes() + b"\n# mine")
            else:
                path.rename(tmp_path / "moved")
                path.symlink_to(tmp_path / "moved")
            before = everything(tmp_path)
            refuses(write, out, Path(name).name)
            assert everything(tmp_path) == before


@settings(max_examples=20)
@given(kind=st.sampled_from(sorted(WRITERS)), data=st.data())
def test_a_folder_with_a_stranger_in_it_stays_as_it_is(kind, data):
    """Any name at any depth, with any content, even in our own sub-folders."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "out")
        WRITERS[kind](out)
        folders = [out, *(path for path in out.rglob("*") if path.is_dir())]
        name = data.draw(
            st.text(
                st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
            ).filter(lambda name: name not in (".", ".."))
        )
        path = data.draw(st.sampled_from(folders)) / name
        if os.path.lexists(path):
            return
        if data.draw(st.booleans()):
            path.write_bytes(data.draw(st.binary(max_size=20)))
        else:
            path.mkdir()
        before = everything(place)
        refuses(WRITERS[kind], out)
        assert everything(place) == before


@both
@pytest.mark.parametrize(
    "content",
    (
        "{}",
        "[]",
        "null",
        "",
        "not JSON",
        "[" * 100_000,
        '{"name": "my web app", "files": ["index.html"]}',
        '{"format": "bitloom-model", "layers": []}',
        '{"made_by": {"bitloom": "1"}, "top": "x", "files": {}}',
        '{"made_by": {"bitloom": "1"}, "top": "x", "files": {"../thesis.txt": {"sha256": "0"}}}',
        '{"made_by": {"bitloom": "1"}, "top": "x", "files": {"thesis.txt": {"sha256": 7}}}',
        '{"made_by": {"bitloom": "1"}, "top": ["x"], "files": {"a\\u0000": {"sha256": "0"}}}',
    ),
)
def test_a_strangers_file_of_our_name_marks_nothing(write, content, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in (model_dir.MODEL_FILE, manifest.MANIFEST, "thesis.txt"):
        (out / name).write_text(content)
    before = everything(tmp_path)
    refuses(write, out, "is not replaced")
    assert everything(tmp_path) == before


@both
def test_our_own_mark_copied_into_a_strangers_folder_marks_nothing(write, tmp_path):
    write(tmp_path / "ours")
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years")
    for name in (model_dir.MODEL_FILE, manifest.MANIFEST):
        if (tmp_path / "ours" / name).exists():
            shutil.copy(tmp_path / "ours" / name, out / name)
    before = everything(tmp_path)
    refuses(write, out)
    assert everything(tmp_path) == before


def test_one_kind_of_output_does_not_replace_another(tmp_path):
    write_model(tmp_path / "model")
    write_design(tmp_path / "design")
    refuses(write_design, tmp_path / "model", "manifest.json")
    refuses(write_model, tmp_path / "design", "model.json")


def test_a_design_without_some_of_its_files_and_with_simulation_results_is_replaced(tmp_path):
    out = tmp_path / "out"
    write_design(out)
    before = everything(out)
    shutil.rmtree(out / "mem")
    (out / "sim" / "work").mkdir()
    for name in ("tb_bitloom.vvp", "tb_bitloom.log", "work/tb_bitloom", "work/work-obj08.cf"):
        (out / "sim" / name).write_text("made by the run scripts")
    write_design(out)
    assert everything(out) == before


@pytest.mark.parametrize(
    "name", ("vivado/project/board.xpr", "vivado/reports/impl_timing.rpt", "sim/waves.vcd", "sim/work/notes.txt")
)
def test_results_that_took_hours_keep_a_design(name, tmp_path):
    out = tmp_path / "out"
    write_design(out)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("hours")
    refuses(write_design, out, "it holds ", name.split("/")[1])


def test_a_design_of_the_version_before_is_replaced_and_protected(tmp_path):
    """Its manifest has no hash of its own."""
    out = tmp_path / "out"
    write_design(out)
    (out / manifest.MANIFEST).write_text(json.dumps(design_values(), indent=1) + "\n")
    write_design(out)
    (out / manifest.MANIFEST).write_text(json.dumps(design_values(), indent=1) + "\n")
    (out / "rtl" / "bitloom.v").write_text("mine")
    refuses(write_design, out, "rtl/bitloom.v was changed")


@both
def test_an_empty_folder_is_not_ours(write, tmp_path):
    (tmp_path / "out").mkdir()
    refuses(write, tmp_path / "out", "empty folder", "choose another output folder")
    assert everything(tmp_path) == {"out": None}


FOLDER, FILE = (lambda path: Folder(path, lambda goal: set())), (lambda path: File(path, MARK))
# name -> (path below a folder with the file `file`, the folder `full` and links, words of the refusal)
PLACES = {
    "empty": ("", "names nothing"),
    "zero": ("a\0b", "cannot be printed"),
    "newline": ("a\nb", "cannot be printed"),
    "escape": ("\x1b[2J", "cannot be printed"),
    "not Unicode": ("a\udcff", "cannot be printed"),
    "here": (".", "current folder"),
    "here again": ("./", "current folder"),
    "by a detour": ("full/..", "current folder"),
    "above": ("..", "current folder"),
    "root": ("/", "current folder"),
    "home": ("~", "home folder"),
    "through a file": ("file/out", "is not a folder"),
    "deep through a file": ("file/a/b", "is not a folder"),
    "link": ("link", "symbolic link"),
    "dangling link": ("dangling", "symbolic link"),
    "link to itself": ("loop", "symbolic link"),
    "through a loop": ("loop/x", "is not a folder"),
    "device": (os.devnull, "exists and is not a"),
    "long name": ("n" * 300, "too long"),
    "long name below": ("x/" + "n" * 300, "too long"),
    "long path": ("x/" * 3000, "too long"),
}


@pytest.mark.parametrize("kind", (FOLDER, FILE), ids=("folder", "file"))
@pytest.mark.parametrize("case", PLACES)
def test_no_output_goes_to_a_wrong_place(kind, case, tmp_path, monkeypatch):
    home, work = tmp_path / "home", tmp_path / "a" / "b"
    home.mkdir()
    (work / "full").mkdir(parents=True)
    (work / "full" / "thesis.txt").write_text("years")
    (work / "file").write_text("x")
    for name, target in (("link", "full"), ("dangling", "nowhere"), ("loop", "loop")):
        (work / name).symlink_to(target)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    before = everything(tmp_path)
    path, words = PLACES[case]
    refuses(lambda path: check_output(kind(path)), str(home) if path == "~" else path, "--out ", words)
    assert everything(tmp_path) == before


def test_a_place_that_cannot_be_written_is_found_by_trying(tmp_path, monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    for kind in (FOLDER, FILE):
        refuses(
            lambda path, kind=kind: check_output(kind(path)),
            tmp_path / "x" / "out",
            "Read-only file system",
            "choose another output",
        )
    assert everything(tmp_path) == {}


def test_a_check_leaves_nothing(tmp_path):
    for kind in (FOLDER, FILE):
        assert check_output(kind(tmp_path / "a" / "out")) == tmp_path / "a" / "out"
    assert everything(tmp_path) == {}


@pytest.mark.parametrize(
    ("path", "words"),
    (
        ("model", "is the --model"),
        ("model/design", "lies in the --model"),
        ("w", "holds the --weights"),
        ("w/weights.npz", "is the --weights"),
        ("other", "is the --front"),
        ("other/below", "lies in the --front"),
    ),
)
def test_outputs_stay_apart_from_inputs_and_from_each_other(tmp_path, monkeypatch, path, words):
    monkeypatch.chdir(tmp_path)
    write_model("model")
    write_file("w/weights.npz", MARK, MARK)
    before = everything(tmp_path)
    output = File(path, MARK) if path.endswith("npz") else FOLDER(path)
    other = File("other", MARK, "--front")
    refuses(lambda _: check_outputs(other, output, model="model", weights="w/weights.npz", start=None), path, words)
    refuses(lambda _: check_outputs(output, other, model=["model"], weights="w/weights.npz"), path)
    assert everything(tmp_path) == before


def test_an_output_beside_its_inputs_is_allowed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("weights.npz", MARK, MARK)
    check_outputs(FOLDER("out"), File("front.json", MARK), File(None, MARK), weights="weights.npz", model="lenet5")


def test_a_file_of_ours_is_replaced_and_a_strangers_is_not(tmp_path):
    path = tmp_path / "a" / "file"
    for data in (MARK, b"x" * 3000 + MARK, b"PK" + b"x" * 10_000 + MARK):
        write_file(path, data, MARK)
        assert path.read_bytes() == data
    for data in (b"", b"x", b"written by Bitloom: another kind", b"x" * 5000 + MARK + b"x" * 5000):
        path.write_bytes(data)
        before = everything(tmp_path)
        refuses(lambda path: write_file(path, MARK, MARK), path, "is not a file that this command wrote")
        assert everything(tmp_path) == before
    write_file(path, "plain\n")
    assert path.read_text() == "plain\n"
