"""The configuration file: what it means, and that all that is wrong with it is said at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.guarantees import Guarantee
from common.settings import BadSettingsError, Settings, load_settings, parse_settings, run_dir

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
DIGEST = hashlib.sha256(b"a key").hexdigest()
OTHER = hashlib.sha256(b"another key").hexdigest()
SMALLEST = f'[applications.notes]\nkey_sha256 = "{DIGEST}"\n'


def load(directory: Path, text: str) -> Settings:
    file = directory / "queuey.toml"
    file.write_text(text)
    return load_settings(file)


def problems(directory: Path, text: str) -> dict[str, str]:
    with pytest.raises(BadSettingsError) as raised:
        load(directory, text)
    assert all(f"{problem.key}: {problem.reason}" in str(raised.value) for problem in raised.value.problems)
    return dict(raised.value.problems)


def test_one_application_is_a_whole_configuration(tmp_path: Path) -> None:
    """All else has defaults: loopback, one node, SQLite beside the file."""
    settings = load(tmp_path, SMALLEST)
    assert settings.api.bind == "127.0.0.1:5000"
    assert settings.seeds == ("tcp://127.0.0.1:5570",)
    assert settings.store.path == str(tmp_path / "queuey.sqlite3")
    assert settings.applications["notes"].guarantee is Guarantee.AT_LEAST_ONCE
    assert settings.applications["notes"].key_sha256 == (DIGEST,)


def test_several_keys_of_an_application_are_a_list(tmp_path: Path) -> None:
    """Rotation needs two keys at once."""
    settings = load(tmp_path, f'[applications.notes]\nkey_sha256 = ["{DIGEST}", "{OTHER}"]')
    assert settings.applications["notes"].key_sha256 == (DIGEST, OTHER)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Where the process was started does not matter, and absolute paths stay."""
    places = '[api]\nbind = "unix:run/api.sock"\n[storage_node]\nbind = "ipc://run/node.sock"\n'
    settings = load(tmp_path, f'{places}[store]\npath = "/data/q.db"\n{SMALLEST}')
    assert settings.api.bind == f"unix:{tmp_path}/run/api.sock"
    assert settings.storage_node.endpoints == (f"ipc://{tmp_path}/run/node.sock",)
    assert settings.store.path == "/data/q.db"


def test_two_configurations_in_one_folder_do_not_share_a_run_directory(tmp_path: Path) -> None:
    """All that a run keeps is beside its configuration, under ``run``."""
    assert run_dir(tmp_path / "queuey.toml") == tmp_path / "run"
    assert run_dir(tmp_path / "other.toml") == tmp_path / "run" / "other"


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """Each with its key and a reason, whatever their kind."""
    text = """
        nonsense = 1
        [api]
        bind = "nowhere"
        workers = "many"
        nodes = ["tcp://127.0.0.1:1", "tcp://10.0.0.1:5570"]
        [storage_node]
        bind = "tcp://0.0.0.0:5570"
        processes = 2
        colour = "red"
        [store]
        backend = "sqlite"
        username = "somebody"
        [applications.notes]
        key_sha256 = "abc"
        guarantee = "twice"
        [applications._hidden]
        [applications.once]
        guarantee = "exactly_once"
        log = "plain"
    """
    assert set(problems(tmp_path, text)) == {
        "nonsense",
        "api.bind",
        "api.workers",
        "api.nodes",
        "storage_node.advertise",
        "storage_node.bind",
        "storage_node.processes",
        "storage_node.colour",
        "store.password_file",
        "applications.notes.key_sha256",
        "applications.notes.guarantee",
        "applications._hidden",
        "applications.once.log",
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "10.1.2.3", "example.org", "[::]"])
def test_a_node_beyond_loopback_is_refused(tmp_path: Path, host: str) -> None:
    """Nobody would know who asks."""
    assert "storage_node.bind" in problems(tmp_path, f'[storage_node]\nbind = "tcp://{host}:5570"\n{SMALLEST}')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.7.2", "localhost", "[::1]"])
def test_a_node_on_loopback_is_taken(tmp_path: Path, host: str) -> None:
    """In every spelling of it."""
    assert load(tmp_path, f'[storage_node]\nbind = "tcp://{host}:5570"\n{SMALLEST}').seeds == (f"tcp://{host}:5570",)


def test_several_nodes_need_cassandra(tmp_path: Path) -> None:
    """A SQLite file has one writer."""
    nodes = f"[storage_node]\nprocesses = 3\n{SMALLEST}"
    assert "storage_node.processes" in problems(tmp_path, nodes)
    settings = load(tmp_path, f'[store]\nbackend = "cassandra"\n{nodes}')
    assert settings.seeds == tuple(f"tcp://127.0.0.1:{port}" for port in (5570, 5571, 5572))


def test_one_key_can_not_name_two_applications(tmp_path: Path) -> None:
    """Who asks would depend on chance."""
    text = f'{SMALLEST}[applications.other]\nkey_sha256 = "{DIGEST}"'
    assert problems(tmp_path, text) == {"applications.other.key_sha256": "names a key of notes, too"}


@pytest.mark.parametrize("text", ["", "= broken", "applications = 3"])
def test_a_file_without_an_application_is_refused(tmp_path: Path, text: str) -> None:
    """An empty file, one that is no TOML, one of another shape."""
    assert problems(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The reader must know which file was looked for."""
    with pytest.raises(BadSettingsError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml")


def test_secrets_are_files_that_can_be_read(tmp_path: Path) -> None:
    """A name that leads nowhere is found at the start, not at the first link."""
    link = f'{SMALLEST}link_secrets = {{ first = "secret" }}'
    assert "applications.notes.link_secrets.first" in problems(tmp_path, link)
    (tmp_path / "secret").write_bytes(b"x" * 32)
    (tmp_path / "secret").chmod(0o644)
    assert "chmod 600" in problems(tmp_path, link)["applications.notes.link_secrets.first"]
    (tmp_path / "secret").chmod(0o600)
    assert load(tmp_path, link).applications["notes"].link_secrets == {"first": str(tmp_path / "secret")}


def test_a_node_beyond_loopback_needs_keys_and_an_address(tmp_path: Path) -> None:
    """A secret of its own, who may connect, where to, and its public key for them."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    node = '[storage_node]\nbind = "tcp://0.0.0.0:5570"\n'
    keyed = f'{node}curve_secret_file = "key"\n'
    assert problems(tmp_path, f"{node}{SMALLEST}").keys() == {"storage_node.bind", "storage_node.advertise"}
    assert {"storage_node.allowed_keys", "api.nodes"} <= problems(tmp_path, f"{keyed}{SMALLEST}").keys()
    whole = f'{keyed}allowed_keys = ["{KEY}"]\nadvertise = "tcp://10.0.0.7:5570"\n{SMALLEST}'
    assert problems(tmp_path, whole).keys() == {"api.nodes"}
    api = f'[api]\nnodes = ["tcp://10.0.0.7:5570 {KEY}"]\n'
    assert problems(tmp_path, f"{api}{whole}").keys() == {"api.curve_secret_file"}
    settings = load(tmp_path, f'{api}curve_secret_file = "key"\n{whole}')
    assert settings.seeds == (f"tcp://10.0.0.7:5570 {KEY}",)
    assert settings.storage_node.address(2) == "tcp://10.0.0.7:5572"


@pytest.mark.parametrize("key", ["", KEY[1:], f"{KEY}x", "#" * 40, "é" * 40])
def test_what_is_no_curve_key_is_refused(tmp_path: Path, key: str) -> None:
    """Too short, too long, beyond 32 bytes, other letters."""
    text = f'[api]\nnodes = ["tcp://10.0.0.7:5570 {key}"]\n[storage_node]\nallowed_keys = ["{key}"]\n{SMALLEST}'
    assert {"api.nodes", "storage_node.allowed_keys"} <= problems(tmp_path, text).keys()


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=12), inside, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([*Settings.__struct_fields__, "bind", "notes", "key_sha256", "oidc", "browserid", "x"])


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, TOML_VALUES | st.dictionaries(KEYS, TOML_VALUES)) | TOML_VALUES))
def test_any_document_gives_settings_or_named_problems(document: dict[str, object]) -> None:
    """Nothing else is ever raised."""
    try:
        outcome: object = parse_settings(document, Path("/nowhere/queuey.toml"))
    except BadSettingsError as error:
        outcome = error.problems
    assert outcome
