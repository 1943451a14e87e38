"""How a label is shown to people: `house-finch` is the House finch, or what it is called where they live, or Haemorhous mexicanus.

A label itself stays what it is, a folder's name; nothing here changes it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from birdwatchd.core.settings import Language, Settings
from birdwatchd.core.shelving import NO_BIRD, UNKNOWN_GUESS


@dataclass(frozen=True, slots=True)
class Names:
    """What people want to read.

    Attributes:
        show: the first choice; where it knows no name, the English one is shown.
        local: label to the name that it has here.
        scientific: label to scientific name, before those that are built in.
    """

    show: Language = "local"
    local: Mapping[str, str] = field(default_factory=dict)
    scientific: Mapping[str, str] = field(default_factory=dict)


ENGLISH = Names()


def names_of(settings: Settings) -> Names:
    """What the settings say."""
    return Names(settings.web.show_names, settings.web.names, settings.web.scientific_names)


def shown(label: str | None, names: Names = ENGLISH) -> str:
    """The name of a species, or what takes its place: "No bird", "Unknown" for None."""
    if label is None or label == UNKNOWN_GUESS:
        return "Unknown"
    if label == NO_BIRD:
        return "No bird"
    if names.show == "scientific" and (name := scientific(label, names)):
        return name
    if names.show == "local" and (name := _found(label, names.local)):
        return name
    return english(label)


def beside(label: str, names: Names = ENGLISH) -> str:
    """The name that stands beside the one that is shown, smaller: scientific, or English where that is shown; "" if there is none."""
    other = english(label) if names.show == "scientific" else scientific(label, names)
    return "" if other in (None, shown(label, names)) or label in (NO_BIRD, UNKNOWN_GUESS) else str(other)


def spellings(label: str, names: Names = ENGLISH) -> tuple[str, ...]:
    """All that people may type for it, the shown name first, each once; the label itself is one of them."""
    found = (shown(label, names), english(label), _found(label, names.local), scientific(label, names), label)
    return tuple(dict.fromkeys(one for one in found if one))


def english(label: str) -> str:
    """Words instead of a folder's name: `red-breasted-merganser` is the Red-breasted merganser."""
    words = re.sub(r"[-_\s]+", " ", label).strip()
    if words == words.lower():  # a person's own spelling of it stays
        words = _JOINED.sub(r"-\1", words)
        words = " ".join(word.capitalize() if word in _PEOPLE_AND_PLACES else word for word in words.split(" "))
        words = words[:1].upper() + words[1:]
    return words or label


def scientific(label: str, names: Names = ENGLISH) -> str | None:
    """Genus and species, or the group if the name is one of a group; None if it is not known."""
    return _found(label, names.scientific) or _SCIENTIFIC.get(_key(label))


def _found(label: str, names: Mapping[str, str]) -> str | None:
    if label in names:
        return names[label]
    key = _key(label)
    return next((name for known, name in names.items() if _key(known) == key), None)


def _key(label: str) -> str:
    return re.sub(r"[-_\s]+", "-", label.strip()).casefold()


_JOINED = re.compile(
    r" (backed|barred|bellied|billed|breasted|browed|capped|cheeked|chinned|collared|crested|crowned|eared|eating|eater|eyed"
    r"|faced|footed|fronted|headed|hooded|legged|lored|naped|necked|rumped|shouldered|spotted|tailed|throated|toed|vented|winged)\b"
    r"(?<!great spotted)(?<!lesser spotted)(?<!middle spotted)(?<!eurasian collared)"
)
"""Words that describe a part of the bird together with the word before them."""

_PEOPLE_AND_PLACES = frozenset((
    "african", "american", "anna's", "annas", "audubon", "baltimore", "bewick's", "bewicks", "bohemian", "bonaparte",
    "brewer", "brewer's", "brewers", "canada", "carolina", "cassin", "conte", "cooper's", "coopers", "egyptian", "eurasian",
    "european", "forster", "harris", "heermann", "henslow", "iberian", "indian", "kentucky", "le", "nashville",
    "philadelphia", "ross", "scott", "siberian", "steller", "steller's", "stellers", "swainson", "tennessee", "wilson",
    "wilson's", "wilsons",
))  # fmt: skip
"""Words that are written with a capital letter wherever they stand."""

_SCIENTIFIC = {
    # the spotter's own classes, with the group where the name means more than one species
    "cock": "Gallus gallus",
    "hen": "Gallus gallus",
    "ostrich": "Struthio camelus",
    "brambling": "Fringilla montifringilla",
    "goldfinch": "Carduelis carduelis",
    "house-finch": "Haemorhous mexicanus",
    "junco": "Junco",
    "indigo-bunting": "Passerina cyanea",
    "robin": "Turdus migratorius",
    "bulbul": "Pycnonotidae",
    "jay": "Corvidae",
    "magpie": "Pica",
    "chickadee": "Poecile",
    "water-ouzel": "Cinclus",
    "kite": "Accipitridae",
    "bald-eagle": "Haliaeetus leucocephalus",
    "vulture": "Accipitriformes",
    "great-grey-owl": "Strix nebulosa",
    "black-grouse": "Lyrurus tetrix",
    "ptarmigan": "Lagopus",
    "ruffed-grouse": "Bonasa umbellus",
    "prairie-chicken": "Tympanuchus",
    "peacock": "Pavo",
    "quail": "Galliformes",
    "partridge": "Phasianidae",
    "african-grey": "Psittacus erithacus",
    "macaw": "Arini",
    "sulphur-crested-cockatoo": "Cacatua galerita",
    "lorikeet": "Loriini",
    "coucal": "Centropus",
    "bee-eater": "Meropidae",
    "hornbill": "Bucerotidae",
    "hummingbird": "Trochilidae",
    "jacamar": "Galbulidae",
    "toucan": "Ramphastidae",
    "drake": "Anatidae",
    "red-breasted-merganser": "Mergus serrator",
    "goose": "Anatidae",
    "black-swan": "Cygnus atratus",
    "white-stork": "Ciconia ciconia",
    "black-stork": "Ciconia nigra",
    "spoonbill": "Platalea",
    "flamingo": "Phoenicopteridae",
    "little-blue-heron": "Egretta caerulea",
    "american-egret": "Ardea alba",
    "bittern": "Botaurinae",
    "crane": "Gruidae",
    "limpkin": "Aramus guarauna",
    "european-gallinule": "Porphyrio porphyrio",
    "american-coot": "Fulica americana",
    "bustard": "Otididae",
    "ruddy-turnstone": "Arenaria interpres",
    "red-backed-sandpiper": "Calidris alpina",
    "redshank": "Tringa totanus",
    "dowitcher": "Limnodromus",
    "oystercatcher": "Haematopus",
    "pelican": "Pelecanus",
    "king-penguin": "Aptenodytes patagonicus",
    "albatross": "Diomedeidae",
    # birds of gardens in Europe
    "barn-owl": "Tyto alba",
    "barn-swallow": "Hirundo rustica",
    "black-redstart": "Phoenicurus ochruros",
    "black-woodpecker": "Dryocopus martius",
    "blackbird": "Turdus merula",
    "blackcap": "Sylvia atricapilla",
    "blue-tit": "Cyanistes caeruleus",
    "bullfinch": "Pyrrhula pyrrhula",
    "buzzard": "Buteo buteo",
    "carrion-crow": "Corvus corone",
    "chaffinch": "Fringilla coelebs",
    "chiffchaff": "Phylloscopus collybita",
    "coal-tit": "Periparus ater",
    "collared-dove": "Streptopelia decaocto",
    "common-kingfisher": "Alcedo atthis",
    "crested-tit": "Lophophanes cristatus",
    "dunnock": "Prunella modularis",
    "eurasian-collared-dove": "Streptopelia decaocto",
    "eurasian-jay": "Garrulus glandarius",
    "eurasian-magpie": "Pica pica",
    "eurasian-nuthatch": "Sitta europaea",
    "eurasian-wren": "Troglodytes troglodytes",
    "european-goldfinch": "Carduelis carduelis",
    "european-robin": "Erithacus rubecula",
    "european-starling": "Sturnus vulgaris",
    "feral-pigeon": "Columba livia",
    "fieldfare": "Turdus pilaris",
    "firecrest": "Regulus ignicapilla",
    "goldcrest": "Regulus regulus",
    "great-spotted-woodpecker": "Dendrocopos major",
    "great-tit": "Parus major",
    "green-woodpecker": "Picus viridis",
    "greenfinch": "Chloris chloris",
    "grey-heron": "Ardea cinerea",
    "hawfinch": "Coccothraustes coccothraustes",
    "hooded-crow": "Corvus cornix",
    "house-martin": "Delichon urbicum",
    "house-sparrow": "Passer domesticus",
    "jackdaw": "Coloeus monedula",
    "kestrel": "Falco tinnunculus",
    "lesser-spotted-woodpecker": "Dryobates minor",
    "long-tailed-tit": "Aegithalos caudatus",
    "mallard": "Anas platyrhynchos",
    "marsh-tit": "Poecile palustris",
    "middle-spotted-woodpecker": "Dendrocoptes medius",
    "mistle-thrush": "Turdus viscivorus",
    "pied-wagtail": "Motacilla alba",
    "raven": "Corvus corax",
    "redpoll": "Acanthis flammea",
    "redstart": "Phoenicurus phoenicurus",
    "redwing": "Turdus iliacus",
    "rook": "Corvus frugilegus",
    "siskin": "Spinus spinus",
    "song-thrush": "Turdus philomelos",
    "sparrowhawk": "Accipiter nisus",
    "starling": "Sturnus vulgaris",
    "stock-dove": "Columba oenas",
    "tawny-owl": "Strix aluco",
    "tree-sparrow": "Passer montanus",
    "treecreeper": "Certhia familiaris",
    "white-wagtail": "Motacilla alba",
    "willow-tit": "Poecile montanus",
    "willow-warbler": "Phylloscopus trochilus",
    "wood-pigeon": "Columba palumbus",
    "woodpigeon": "Columba palumbus",
    "yellowhammer": "Emberiza citrinella",
    # birds of gardens in North America
    "american-crow": "Corvus brachyrhynchos",
    "american-goldfinch": "Spinus tristis",
    "american-robin": "Turdus migratorius",
    "annas-hummingbird": "Calypte anna",
    "baltimore-oriole": "Icterus galbula",
    "belted-kingfisher": "Megaceryle alcyon",
    "black-capped-chickadee": "Poecile atricapillus",
    "blue-jay": "Cyanocitta cristata",
    "bobolink": "Dolichonyx oryzivorus",
    "bohemian-waxwing": "Bombycilla garrulus",
    "brown-creeper": "Certhia americana",
    "brown-headed-cowbird": "Molothrus ater",
    "canada-goose": "Branta canadensis",
    "cardinal": "Cardinalis cardinalis",
    "carolina-chickadee": "Poecile carolinensis",
    "carolina-wren": "Thryothorus ludovicianus",
    "cedar-waxwing": "Bombycilla cedrorum",
    "chipping-sparrow": "Spizella passerina",
    "common-grackle": "Quiscalus quiscula",
    "coopers-hawk": "Astur cooperii",
    "dark-eyed-junco": "Junco hyemalis",
    "downy-woodpecker": "Dryobates pubescens",
    "eastern-bluebird": "Sialia sialis",
    "eastern-phoebe": "Sayornis phoebe",
    "gray-catbird": "Dumetella carolinensis",
    "hairy-woodpecker": "Leuconotopicus villosus",
    "house-wren": "Troglodytes aedon",
    "mourning-dove": "Zenaida macroura",
    "northern-cardinal": "Cardinalis cardinalis",
    "northern-flicker": "Colaptes auratus",
    "northern-mockingbird": "Mimus polyglottos",
    "pileated-woodpecker": "Dryocopus pileatus",
    "pine-grosbeak": "Pinicola enucleator",
    "pine-siskin": "Spinus pinus",
    "purple-finch": "Haemorhous purpureus",
    "red-bellied-woodpecker": "Melanerpes carolinus",
    "red-tailed-hawk": "Buteo jamaicensis",
    "red-winged-blackbird": "Agelaius phoeniceus",
    "rose-breasted-grosbeak": "Pheucticus ludovicianus",
    "ruby-throated-hummingbird": "Archilochus colubris",
    "song-sparrow": "Melospiza melodia",
    "stellers-jay": "Cyanocitta stelleri",
    "summer-tanager": "Piranga rubra",
    "tree-swallow": "Tachycineta bicolor",
    "tufted-titmouse": "Baeolophus bicolor",
    "white-breasted-nuthatch": "Sitta carolinensis",
    "white-crowned-sparrow": "Zonotrichia leucophrys",
    "white-throated-sparrow": "Zonotrichia albicollis",
}
"""By label, lower case with hyphens."""

WELL_KNOWN = tuple(_SCIENTIFIC)
"""Labels of birds that many people know, for whoever looks for a name that nobody has given here yet."""
