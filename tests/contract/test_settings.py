"""Settings: precedence, checks, and what reaches the fingerprints."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, get_args, get_origin

import pytest

from closefit import config as config_module
from closefit import settings
from closefit.config import PRESETS, Config
from closefit.errors import ConfigError, FileMissingError
from closefit.events import Event, Notice
from closefit.learning.training.loop import TrainingConfig
from closefit.settings import build_config


def test_nothing_given_is_the_default_preset() -> None:
    config = build_config()
    assert config.preset == "default"
    assert config == build_config(flags={"preset": "default"})


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('preset = "draft"\nseed = 1\n[optimize]\npasses = 11\n[init]\nsteps = 12\n')
    from_file = build_config(config_file=file)
    assert (from_file.preset, from_file.optimize.passes, from_file.seed) == ("draft", 11, 1)
    assert from_file.optimize.image_size_px == PRESETS["draft"]["optimize"]["image_size_px"]
    over_file = build_config(config_file=file, assignments=["init.steps=13", "seed=2"])
    assert (over_file.init.steps, over_file.seed, over_file.optimize.passes) == (13, 2, 11)
    flag = build_config(config_file=file, assignments=["seed=2"], flags={"seed": 3})
    assert flag.seed == 3


def test_flags_that_were_not_given_change_nothing() -> None:
    assert build_config(flags={"seed": None, "camera.fov_deg": None}) == build_config()


def test_the_default_of_a_section_holds_unless_another_value_is_given() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Inner:
        width: int = 1
        depth: int = 2

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Outer:
        inner: Inner = Inner(depth=7)

    assert settings.build_section(Outer) == Outer()
    changed = settings.build_section(Outer, assignments=["inner.width=3"])
    assert changed.inner == Inner(width=3, depth=7)


def test_recorded_settings_are_kept_until_others_are_given() -> None:
    recorded = settings.flatten(build_config(assignments=["preset=draft", "init.steps=9"]))
    again = build_config(recorded=recorded)
    assert (again.preset, again.init.steps) == ("draft", 9)
    paper = build_config(recorded=recorded, flags={"preset": "paper"})
    assert paper.optimize.image_size_px == PRESETS["paper"]["optimize"]["image_size_px"]
    assert paper.init.steps == 9


def test_a_preset_changes_only_what_it_sets_or_the_earlier_one_set() -> None:
    recorded = settings.flatten(build_config(assignments=["preset=draft", "optimize.physics=0.8"]))
    later = build_config(recorded=recorded, flags={"preset": "default"})
    assert later.optimize.physics == 0.8
    assert later.optimize.map_size == Config().optimize.map_size


def test_terms_are_left_out_by_name() -> None:
    config = build_config(assignments=['optimize.without=["floor", "smooth"]'])
    assert config.optimize.without == ("floor", "smooth")
    with pytest.raises(ConfigError, match="must be a list of `keypoints`, `pose`, "):
        build_config(assignments=['optimize.without=["floors"]'])


def test_recorded_settings_of_another_version_are_dropped() -> None:
    assert build_config(recorded={"init.no_more": 1, "seed": 4}).seed == 4


OLD, NEW = "optimize.weight_prior_pose", "optimize.weight_stay_near_init"


@pytest.mark.parametrize("source", ["set", "file", "record", "values"])
def test_a_renamed_setting_keeps_its_old_name(tmp_path: Path, source: str) -> None:
    file = tmp_path / "settings.toml"
    section, name = OLD.split(".")
    file.write_text(f"[{section}]\n{name} = 7.0\n")
    given = {
        "set": {"assignments": [f"{OLD}=7"]},
        "file": {"config_file": file},
        "record": {"recorded": {OLD: 7.0}},
        "values": {"values": {OLD: 7.0}},
    }
    events: list[Event] = []
    config = build_config(**given[source], emit=events.append)
    assert settings.flatten(config)[NEW] == 7.0
    texts = [event.text for event in events if isinstance(event, Notice)]
    # The user cannot change a record, so only what was typed is worth a notice.
    assert texts == ([] if source == "record" else [f"the setting `{OLD}` is called `{NEW}` now"])


def test_a_new_name_wins_over_an_old_one() -> None:
    config = build_config(assignments=[f"{NEW}=8", f"{OLD}=7"])
    assert settings.flatten(config)[NEW] == 8.0
    # A later source wins, under whichever name it gives the setting.
    config = build_config(recorded={NEW: 8.0}, assignments=[f"{OLD}=7"])
    assert settings.flatten(config)[NEW] == 7.0


def test_renamed_settings_exist_under_their_new_name_only() -> None:
    known = settings.flatten(Config()).keys()
    assert set(settings.RENAMED.values()) <= known
    assert known.isdisjoint(settings.RENAMED)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("optimize.pass", "optimize.passes"),
        ("optimise.passes", "optimize.passes"),
        ("focal_px", "camera.focal_px"),
        ("init.observations", "track.observations"),
        ("sed", "seed"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(key: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"no setting `{key}`") as error:
        build_config(assignments=[f"{key}=1"])
    assert f"`{nearest}`" in error.value.hint


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimize.passes=many", "`optimize.passes` is `many` (text), but must be a whole number"),
        (
            "optimize.passes=1.5",
            "`optimize.passes` is `1.5` (a number), but must be a whole number",
        ),
        ("optimize.passes=true", "(true or false), but must be a whole number"),
        (
            "camera.focal_px=wide",
            "`camera.focal_px` is `wide` (text), but must be a number from 10 to 1000000 or none",
        ),
        ("optimize.appearance=1", "(a whole number), but must be true or false"),
        ("track.perception=magic", "must be one of `auto`, `full`, `yolo`, `lite`, `import`"),
        ("preset=fast", "must be one of `draft`, `default`, `paper`, `paper-without-appearance`, "),
        ("body=cat", "must be one of `auto`, `closefit`, `smpl`"),
        ("optimize.passes", "is not of the form key=value"),
    ],
)
def test_a_wrong_value_names_key_type_and_value(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match="`") as error:
        build_config(assignments=[assignment])
    assert message in error.value.message


@pytest.mark.parametrize(
    "assignment",
    [
        *("camera.fov_deg=179", "optimize.physics=1.5", "camera.focal_px=1", "init.steps=0"),
        *("seed=-1", "optimize.map_size=33", "optimize.latent_channels=-1", "init.prior_trust=nan"),
        *("optimize.decoder_width=1", "optimize.lr_motion=inf", f"seed={'9' * 30}"),
        *(f"seed=0x{'f' * 9000}", f"camera.fov_deg={'[' * 5000}", "seed=2026-01-01"),
        *("track.observations=[[]]", "preset=[1]", "camera.file=[1]", "body={a=1}"),
    ],
)
def test_a_value_that_no_function_could_use_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"`.*` is `.*` \(.*\), but must be ") as refusal:
        build_config(assignments=[assignment])
    assert len(refusal.value.message) < 300


@pytest.mark.parametrize("root", [Config, TrainingConfig])
def test_every_number_has_a_range(root) -> None:
    """Without one, NaN and infinity get through."""
    free = [key for key, f in settings._known_fields(root).items() if _is_free(f.type)]
    assert not free


def _is_free(annotation) -> bool:
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return None in (parts[1].ge, parts[1].le)
    return annotation in (int, float) or any(_is_free(part) for part in parts)


def test_the_settings_page_is_what_the_code_declares() -> None:
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    assert settings.table() in page.read_text(encoding="utf-8")


def test_values_are_read_as_what_they_look_like() -> None:
    config = build_config(
        assignments=["camera.fov_deg=50", "camera.focal_px = none", "optimize.appearance=false"]
    )
    assert config.camera.fov_deg == 50.0
    assert isinstance(config.camera.fov_deg, float)
    assert config.camera.focal_px is None
    assert config.optimize.appearance is False


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    several = build_config(assignments=['track.observations=["a.json", "masks"]']).track
    assert several.observations == (str(tmp_path / "a.json"), str(tmp_path / "masks"))
    one = build_config(assignments=["track.observations=a.json"])
    assert one.track.observations == several.observations[:1]
    none = build_config(recorded=settings.flatten(one), assignments=["track.observations=none"])
    assert none.track.observations == ()
    with pytest.raises(ConfigError, match="must be a list of texts"):
        build_config(assignments=["track.observations=[1]"])
    assert build_config(flags={"camera.file": "K.npz"}).camera.file == str(tmp_path / "K.npz")


def test_imports_need_no_detector_but_may_have_one(tmp_path: Path) -> None:
    paths = [str(tmp_path / "keypoints.json"), str(tmp_path / "masks")]
    alone = build_config(flags={"track.observations": paths})
    assert alone.track.observations == tuple(paths)
    assert alone.track.backend("cpu") == alone.track.backend("cuda") == "import"
    completed = build_config(flags={"track.perception": "yolo", "track.observations": paths})
    assert completed.track.backend("cpu") == "yolo"
    with pytest.raises(ConfigError, match="no detections to import"):
        build_config(flags={"track.perception": "import"})


@pytest.mark.parametrize("content", ["seed = ", "seed : 1", "\x00"])
def test_a_settings_file_that_is_not_toml_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match="it is not TOML"):
        build_config(config_file=file)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"no settings file `.*none\.toml`"):
        build_config(config_file=tmp_path / "none.toml")


def test_every_attribute_of_a_section_is_a_field() -> None:
    sections = [
        value
        for value in vars(config_module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    ]
    assert Config in sections
    for section in sections:
        names = {field.name for field in dataclasses.fields(section)}
        public = {
            name
            for name, value in vars(section).items()
            if not name.startswith("_") and not callable(value) and not isinstance(value, property)
        }
        assert public <= names, f"{section.__name__} has attributes that are no fields"


def test_every_preset_is_valid_and_names_real_settings() -> None:
    for preset, sections in PRESETS.items():
        config = build_config(flags={"preset": preset})
        flat = settings.flatten(config)
        for section, values in sections.items():
            for key, value in values.items():
                assert flat[f"{section}.{key}"] == value


def test_flattening_and_building_are_inverse() -> None:
    given = ["preset=draft", "seed=5", "camera.focal_px=700", 'track.observations=["a", "b"]']
    config = build_config(assignments=given)
    assert build_config(recorded=json.loads(json.dumps(settings.flatten(config)))) == config


def test_neutral_settings_stay_out_of_the_fingerprints() -> None:
    everything = {key.split(".")[0] for key in settings.flatten(Config())}
    affecting = settings.affecting(Config(), everything)
    assert {"device", "weights_dir", "offline"}.isdisjoint(affecting)
    assert {"seed", "body", "optimize.passes", "track.observations"} <= affecting.keys()
