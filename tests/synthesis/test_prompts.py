from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.synthesis import language_models
from mousterian.synthesis.prompts import (
    _label_ambiguity,
    captions,
    class_name,
    contextual,
    language_enhancement,
    stylised,
)
from mousterian.synthesis.prompts import templates as templates_module
from mousterian.synthesis.prompts._writing import mentions, stripped

NAMES = ("night_snake", "crane", "Abyssinian")


class Scripted:
    """A language model that answers by a rule, and records the requests."""

    def __init__(self, answer: Callable[[str, int], str]) -> None:
        self.answer = answer
        self.requests: list[tuple[str, int]] = []

    def reply(self, request: str, *, seed: int) -> str:
        self.requests.append((request, seed))
        return self.answer(request, seed)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, int], str]], Scripted]:
    def use(answer: Callable[[str, int], str]) -> Scripted:
        model = Scripted(answer)
        monkeypatch.setattr(language_models, "load", lambda given: model)
        return model

    return use


def test_class_names_stand_as_words_in_the_template() -> None:
    assert class_name.write(NAMES, 9, 0)[0] == ["a photo of a night snake"]
    given = class_name.write(NAMES, 1, 0, template="High-quality photo of a {}")
    assert given[1] == ["High-quality photo of a crane"]
    with pytest.raises(InputError, match="no place for the class name"):
        class_name.write(NAMES, 1, 0, template="a photo")


def test_the_27_templates_come_once_each_in_an_order_of_the_seed() -> None:
    assert len(set(templates_module.TEMPLATES)) == 27
    first, again, other = (templates_module.write(NAMES, 100, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert [len(set(prompts)) for prompts in first] == [27, 27, 27]
    assert all("Abyssinian" in prompt for prompt in first[2])
    assert [p.replace("crane", "") for p in first[1]] != [p.replace("Abyssinian", "") for p in first[2]]
    assert templates_module.write(NAMES, 5, 0)[0] == first[0][:5]


def test_language_enhancement_keeps_sentences_that_contain_the_class(script: Any) -> None:
    model = script(lambda request, seed: f"{request.title()} on hill {seed % 3}." if seed % 5 else "nothing")
    prompts = language_enhancement.write(NAMES, 12, 3, language="any")
    assert {request for request, _ in model.requests} == {"night snake", "crane", "Abyssinian"}
    for name, found in zip(("Night Snake", "Crane", "Abyssinian"), prompts, strict=True):
        assert set(found) == {f"a photo of a {name} on hill {k}" for k in range(3)}  # each once, no full stop
    assert len(model.requests) > 36  # "nothing" was rejected


def test_captions_come_in_three_kinds_in_turn(script: Any) -> None:
    model = script(lambda request, seed: f"caption {seed} of {request.splitlines()[-1].removesuffix(' =>')}")
    [of_crane] = captions.write(
        ["crane"], 7, 0, language="any", backgrounds=["harbour", "marsh"], relations=["next to"]
    )
    tails = [re.sub(r"caption \d+ of ", "", caption) for caption in of_crane]
    assert tails[0::3] == ["crane"] * 3
    assert sorted(tails[1::3]) == ["crane, harbour", "crane, marsh"]
    assert tails[2::3] == ["crane, next to"] * 2
    assert all(request.count("=>") == 4 for request, _ in model.requests)  # three examples and the question


def test_captions_request_backgrounds_once_if_none_are_given(script: Any) -> None:
    def answer(request: str, seed: int) -> str:
        if "backgrounds" in request:
            return "1. A marsh\n2. a harbour.\n\nI hope that these ten places are of use to you!"
        return f"caption {seed} of {request.splitlines()[-1]}"[:-3]

    model = script(answer)
    found = captions.write(["crane", "heron"], 6, 0, language="any")
    assert sum("backgrounds" in request for request, _ in model.requests) == 1
    assert {re.sub(r"caption \d+ of ", "", found[1][place]) for place in (1, 4)} == {
        "heron, a marsh",
        "heron, a harbour",
    }
    script(lambda request, seed: "no")
    with pytest.raises(InputError, match="backgrounds") as caught:
        captions.write(["crane"], 1, 0, language="any")
    assert "backgrounds = [" in caught.value.hint


REPLY = """Here are some:
| Foreground | Background | Lighting | Camera |
|---|---|---|---|
1. crane wading | misty marsh | golden hour | wide shot
2) tall grass, two frogs | a lake. | daylight | close-up
- broken line | only two
"""


def test_contextual_prompts_join_four_aspects_and_name_the_class() -> None:
    assert contextual.parse("\n".join(REPLY.splitlines()[3:]), "crane, a bird") == [
        "crane wading, misty marsh, golden hour, wide shot",
        "crane, tall grass, two frogs, a lake, daylight, close-up",
    ]
    with pytest.raises(ValueError, match="four aspects"):
        contextual.parse("a crane by a lake", "crane")


def test_a_table_header_is_not_a_description() -> None:
    assert len(contextual.parse(REPLY.replace("|---|---|---|---|\n", ""), "crane")) == 2


def lines(request: str, seed: int) -> str:
    return "\n".join(f"crane {seed % 97}-{k} | lake | dusk | macro shot" for k in range(20))


def test_contextual_requests_twenty_at_a_time_until_there_are_enough(script: Any) -> None:
    model = script(lines)
    [prompts] = contextual.write(["crane"], 50, 0, language="any")
    assert len(prompts) == len(set(prompts)) == 50 and len(model.requests) == 3
    assert all(re.fullmatch(r"a photograph of crane \d+-\d+, lake, dusk, macro shot", p) for p in prompts)
    model = script(lambda request, seed: lines(request, 0))  # it repeats itself
    assert len(contextual.write(["crane"], 50, 0, language="any")[0]) == 20 and len(model.requests) == 6


def test_stylised_prompts_are_the_contextual_ones_in_sixty_styles(script: Any) -> None:
    script(lines)
    assert len(set(stylised.STYLES)) == 60
    [plain] = contextual.write(["crane"], 60, 0, language="any")
    [styled] = stylised.write(["crane"], 60, 0, language="any")
    assert [p.split(" of crane")[1] for p in plain] == [p.split(" of crane")[1] for p in styled]
    kinds = {prompt.split(" of crane")[0] for prompt in styled}
    assert len(kinds) == 60 and {"an oil painting", "a CGI", "a 3D model", "an origami", "a sketch"} <= kinds
    [both] = stylised.write(["crane"], 60, 0, language="any", with_photographs=True)
    assert both[0::2] == plain[0::2] and both[1::2] == styled[1::2]


def test_the_meaning_nearest_to_the_real_images_is_chosen() -> None:
    class Looks:
        """A CLIP whose images are embeddings; a bird is (1, 0), a machine (0, 1)."""

        def images(self, images: np.ndarray) -> np.ndarray:
            return images.reshape(len(images), -1).astype(np.float32)

        def texts(self, texts: list[str]) -> np.ndarray:
            return np.array([[1, 0] if "bird" in text else [0, 1] for text in texts], dtype=np.float32)

    model = Scripted(lambda request, seed: "1. a lifting machine\n2. a long-legged bird\n")
    labels = np.array([0, 0, 0, 1])
    images = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.uint8).reshape(4, 1, 2, 1)
    names = _label_ambiguity.resolved(["crane", "crane_2"], images, labels, Looks(), model, seed=0)
    assert names == ["crane, a long-legged bird", "crane 2, a lifting machine"]
    assert mentions("A CRANE by the lake", names[0]) and not mentions("a heron", names[0])


def test_malformed_replies_are_requested_again_with_other_seeds_and_then_named() -> None:
    model = Scripted(lambda request, seed: "mumble")

    def reject(reply: str) -> str:
        raise ValueError("it mumbles")

    with pytest.raises(InputError, match=r"5 replies for a thing .*it mumbles.*'mumble'") as caught:
        language_models.parsed_reply(model, "say", reject, seed=7, what="a thing")
    assert len({seed for _, seed in model.requests}) == 5 and model.requests[0][1] == 7
    assert "larger model" in caught.value.hint


def test_list_markers_and_quotes_are_stripped() -> None:
    assert stripped(' 12. "a crane" ') == stripped("- “a crane”") == "a crane"
    assert stripped("3D model of a crane") == "3D model of a crane"


@pytest.mark.parametrize("name", registry.working("prompts"))
def test_every_prompt_maker_is_deterministic_and_names_each_class(name: str, script: Any) -> None:
    def answer(request: str, seed: int) -> str:
        name = next((each for each in ("night snake", "Abyssinian", "crane") if each in request), "")
        return f"{name} at {seed % 13} | b | c | d"

    script(answer)
    plugin = registry.find("prompts", name)
    options: dict[str, Any] = {"language": "any"} if "language" in plugin.options else {}
    if "backgrounds" in plugin.options:
        options["backgrounds"] = ["a marsh"]
    first, again = (plugin.load()(NAMES, 8, 5, **plugin.resolve(options)) for _ in range(2))
    assert first == again and len(first) == len(NAMES)
    for prompts, class_ in zip(first, NAMES, strict=True):
        assert 1 <= len(prompts) <= 8 and all(mentions(prompt, class_) for prompt in prompts)


def test_settings_of_a_language_model_are_checked() -> None:
    with pytest.raises(InputError, match="temperature"):
        language_models.Settings.read({"model": "m", "temprature": 1})
    with pytest.raises(InputError, match="is not int"):
        language_models.Settings.read({"model": "m", "max_tokens": "many"})
    with pytest.raises(InputError, match="no language model given"):
        language_models.Settings.read({"base_url": "http://127.0.0.1/v1"})


def test_replies_are_cached_by_model_request_and_seed(tmp_path: Path) -> None:
    model = Scripted(lambda request, seed: f"{request} {seed}")
    cached = language_models.CachedModel(model, language_models.Settings("m"), tmp_path / "replies")
    assert [cached.reply("a", seed=1), cached.reply("a", seed=1), cached.reply("a", seed=2)] == [
        "a 1",
        "a 1",
        "a 2",
    ]
    language_models.CachedModel(
        model, language_models.Settings("m", temperature=0.1), tmp_path / "replies"
    ).reply("a", seed=1)
    assert [seed for _, seed in model.requests] == [1, 2, 1]
    for path in (tmp_path / "replies").iterdir():
        path.write_text("{broken")
    assert cached.reply("a", seed=1) == "a 1" and len(model.requests) == 4
    assert any(
        json.loads(p.read_text())["reply"] == "a 1"
        for p in (tmp_path / "replies").iterdir()
        if p.stat().st_size > 9
    )
