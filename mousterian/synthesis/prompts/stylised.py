"""Style diversification (SD) of Diversify: the contextual descriptions in 60 art styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian.synthesis.prompts._writing import in_turn, shuffled, with_article
from mousterian.synthesis.prompts.contextual import descriptions

# The paper's Appendix D.
_LIST = """
Sketch, Painting, Illustration, Digital rendering, Print, Comic-style depiction, Manga-style
depiction, Pixel art representation, Tattoo design, Graffiti-style portrayal, Watercolor, Oil
painting, Charcoal drawing, Pastel drawing, Stencil art, Collage, Mosaic, Silhouette, Pop art
version, Sculpture, Origami, Embroidery, Quilt pattern, Stained glass design, Woodcut, Etching,
Lithograph, Screen print, Relief carving, Bronze casting, Glass blowing, Ceramic pottery, Tapestry,
Fresco, Mural, Doodle, Cartoon, Animation, 3D model, Wireframe model, CGI, Virtual reality model,
Augmented reality model, Hologram, Gouache painting, Ink wash painting, Digital painting, Stencil
graffiti, Airbrush art, Pointillism, Impasto painting, Engraving, Linocut, Marquetry, Papercut,
Batik design, Cross-stitch pattern, Macramé design, Beadwork design, Sand sculpture
"""
STYLES = tuple(style.strip() for style in _LIST.replace("\n", " ").split(","))


def write(
    class_names: Sequence[str],
    count: int,
    seed: int,
    *,
    language: str | dict[str, Any],
    with_photographs: bool = False,
) -> list[list[str]]:
    """The descriptions of `contextual`, each in one of the paper's 60 styles instead of as a photograph.

    Args:
        class_names: the K classes, in label order.
        count: prompts wanted for each class.
        seed: of the model's sampling, and of the assignment of styles to descriptions.
        language: as for `contextual`; the same model, seed and count reuse its replies.
        with_photographs: keep every other prompt a photograph, so that half of the images are contextual and
            half stylised, as in the paper's main results.

    Returns:
        K lists of prompts.

    Raises:
        InputError: the model cannot be loaded, or its replies cannot be parsed.
    """
    described = descriptions(class_names, count, seed, language)
    prompts = []
    for label, texts in enumerate(described):
        kinds = in_turn(shuffled([_words(style) for style in STYLES], seed, "style", label), len(texts))
        if with_photographs:
            kinds = ["a photograph" if index % 2 == 0 else kind for index, kind in enumerate(kinds)]
        prompts.append([f"{kind} of {text}" for kind, text in zip(kinds, texts, strict=True)])
    return prompts


def _words(style: str) -> str:
    """Return a style with its article: "an oil painting", "a CGI", "a 3D model"."""
    first = style.split(maxsplit=1)[0]
    rest = " ".join(style.split())
    return with_article(rest if first.isupper() else rest[0].lower() + rest[1:])
