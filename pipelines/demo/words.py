"""The demo's words as data: invented artists, word banks by genre, mood and language, tags, playlist names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Artist:
    """An invented artist: the genre they play and the language they sing in."""

    name: str
    genre: str
    language: str = "en"


ARTISTS = (
    Artist("Halden Drift", "ambient"),
    Artist("Moss & Meridian", "ambient"),
    Artist("Öde Küste", "ambient", "de"),
    Artist("The Slow Aperture", "ambient"),
    Artist("Kontor 9", "techno", "de"),
    Artist("Rasterfeld", "techno", "de"),
    Artist("Vanta Lathe", "techno"),
    Artist("Ines Okafor-Lund", "techno"),
    Artist("Zehnte Etage", "techno", "de"),
    Artist("Cutwater", "drum and bass"),
    Artist("Sable Junction", "drum and bass"),
    Artist("MC Thistle", "drum and bass"),
    Artist("Fathom Eleven", "drum and bass"),
    Artist("Nadia Frost", "drum and bass"),
    Artist("ピクセル工房", "chiptune", "ja"),
    Artist("8-Bit Orchard", "chiptune"),
    Artist("Save Point Club", "chiptune"),
    Artist("夜空カセット", "chiptune", "ja"),
    Artist("Elspeth Marrow", "solo piano"),
    Artist("Jean-Aurèle Vidalin", "solo piano", "fr"),
    Artist("Tomáš Hruška-Bell", "solo piano"),
    Artist("Clémence Ardoise", "solo piano", "fr"),
    Artist("Quatuor Belladone", "string waltz", "fr"),
    Artist("Salonorchester Lindenhain", "string waltz", "de"),
    Artist("The Tarnished Fiddles", "string waltz"),
    Artist("Ottilie Brandauer", "string waltz", "de"),
    Artist("Gravel Parish", "rock"),
    Artist("Los Faros Rotos", "rock", "es"),
    Artist("The Velvet Tow Trucks", "rock"),
    Artist("Dead Letter Lounge", "rock"),
    Artist("Motørhäuser", "rock"),
    Artist("Marina do Vale", "bossa nova", "pt"),
    Artist("Trio Laranjal", "bossa nova", "pt"),
    Artist("Conjunto Brisa Lenta", "bossa nova", "es"),
    Artist("Otávio Sereno", "bossa nova", "pt"),
    Artist("Lucía Campoamor", "bossa nova", "es"),
)

GENRE_NOUNS: dict[str, tuple[str, ...]] = {
    "ambient": ("tide", "horizon", "drift", "glacier", "satellite", "mist", "orbit", "aurora", "estuary", "silence"),
    "techno": (
        "machine",
        "warehouse",
        "strobe",
        "voltage",
        "concrete",
        "signal",
        "pressure",
        "circuit",
        "tunnel",
        "pulse",
    ),
    "drum and bass": (
        "jungle",
        "tower block",
        "bassline",
        "night bus",
        "undertow",
        "echo",
        "siren",
        "velocity",
        "river",
        "dub",
    ),
    "chiptune": ("pixel", "castle", "level", "coin", "dragon", "joystick", "galaxy", "hero", "high score", "portal"),
    "solo piano": (
        "window",
        "letter",
        "snow",
        "candle",
        "nocturne",
        "garden",
        "rain",
        "photograph",
        "winter",
        "lullaby",
    ),
    "string waltz": (
        "ballroom",
        "carousel",
        "violin",
        "chandelier",
        "rose",
        "staircase",
        "carriage",
        "opera",
        "ribbon",
        "promenade",
    ),
    "rock": ("highway", "engine", "whiskey", "thunder", "gasoline", "guitar", "wildfire", "rebel", "motel", "dynamite"),
    "bossa nova": (
        "sea",
        "guitar",
        "palm tree",
        "sand",
        "hammock",
        "moonlight",
        "breeze",
        "samba",
        "orange tree",
        "bay",
    ),
}

MOOD_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "bright": ("golden", "sunny", "shining", "happy", "laughing", "brand-new", "sparkling"),
    "calm": ("quiet", "gentle", "slow", "floating", "tender", "sleeping", "soft"),
    "melancholic": ("lonely", "faded", "lost", "weeping", "forgotten", "broken", "last"),
    "driving": ("restless", "electric", "racing", "relentless", "burning", "sleepless", "breathless"),
    "dark": ("black", "haunted", "hollow", "bitter", "buried", "cold", "poisoned"),
}

MOOD_TAGS: dict[str, tuple[str, ...]] = {
    "bright": ("happy", "uplifting", "feel-good"),
    "calm": ("calm", "relaxing", "peaceful", "Chill"),
    "melancholic": ("melancholic", "sad", "bittersweet"),
    "driving": ("energetic", "driving", "workout"),
    "dark": ("dark", "brooding", "heavy"),
}

GENRE_TAGS: dict[str, tuple[str, ...]] = {
    "ambient": ("ambient", "Ambient", "drone", "soundscape", "atmospheric"),
    "techno": ("techno", "Techno", "electronic", "club", "acid"),
    "drum and bass": ("drum and bass", "Drum & Bass", "dnb", "jungle", "electronic"),
    "chiptune": ("chiptune", "8-bit", "video game music", "bitpop", "electronic"),
    "solo piano": ("piano", "solo piano", "neoclassical", "modern classical"),
    "string waltz": ("waltz", "strings", "Classical", "chamber music", "orchestral"),
    "rock": ("rock", "Rock", "hard rock", "garage rock", "alternative"),
    "bossa nova": ("bossa nova", "Bossa Nova", "latin", "mpb", "jazz"),
}

INSTRUMENT_TAGS: dict[str, tuple[str, ...]] = {
    "ambient": ("synth pad", "field recording"),
    "techno": ("drum machine", "303", "synthesizer"),
    "drum and bass": ("breakbeat", "reese bass", "sampler"),
    "chiptune": ("square wave", "game boy"),
    "solo piano": ("grand piano", "felt piano"),
    "string waltz": ("violin", "cello", "pizzicato"),
    "rock": ("electric guitar", "distortion", "drums"),
    "bossa nova": ("nylon guitar", "flute", "shaker"),
}

NOISE_TAGS = (
    "seen live",
    "favourites",
    "check later",
    "my top songs",
    "under 2000 listeners",
    "♥",
    "2010s",
    "beautiful",
    "albums I own",
)

YEARS: dict[str, tuple[int, int]] = {
    "ambient": (1994, 2024),
    "techno": (1992, 2024),
    "drum and bass": (1995, 2023),
    "chiptune": (2004, 2024),
    "solo piano": (2006, 2024),
    "string waltz": (1958, 2019),
    "rock": (1969, 2022),
    "bossa nova": (1961, 2018),
}
"""First and last year in which a genre's albums came out."""


@dataclass(frozen=True)
class Language:
    """What a song in a language is made of.

    Attributes:
        verse: lines with a place for a thing.
        chorus: lines with a place for a thing, sung again and again.
        things: what is sung about, by mood; English builds its own of an adjective and a noun.
        titles: title patterns.
    """

    verse: tuple[str, ...]
    chorus: tuple[str, ...]
    items: dict[str, tuple[str, ...]]
    titles: tuple[str, ...] = ("{thing}",)


LANGUAGES: dict[str, Language] = {
    "en": Language(
        verse=(
            "I was walking through {thing}",
            "You told me about {thing}",
            "There is {thing} in everything we say",
            "All night I waited for {thing}",
            "Somebody painted {thing} on the wall",
            "We never came back from {thing}",
            "Nothing is left but {thing}",
            "I keep {thing} under my coat",
            "Every road bends towards {thing}",
        ),
        chorus=(
            "Oh, take me to {thing}",
            "Sing it again, {thing}",
            "And we belong to {thing}",
            "Hold on, hold on to {thing}",
            "It was always {thing}",
        ),
        items={},
        titles=("{thing}", "{thing}", "Back to {thing}", "Waiting for {thing}", "{thing} (for M.)"),
    ),
    "de": Language(
        verse=(
            "Ich suche {thing}",
            "Du schenkst mir {thing}",
            "Niemand kennt {thing} wie wir",
            "Heute Nacht gehört uns {thing}",
            "Am Ende bleibt nur {thing}",
            "Ich höre {thing} noch im Schlaf",
        ),
        chorus=("Oh, gib mir {thing} zurück", "Für immer {thing}", "Wir tanzen durch {thing}"),
        items={
            "bright": ("die goldene Stunde", "das helle Lachen", "die lange Sommernacht", "das neue Licht"),
            "calm": ("die stille Küste", "das sanfte Licht", "die langsame Flut", "das weite Land"),
            "melancholic": ("die letzte Straßenbahn", "das leere Zimmer", "die verlorene Zeit", "das graue Meer"),
            "driving": ("die Maschine", "das weiße Stroboskop", "die zehnte Etage", "das schnelle Herz"),
            "dark": ("die kalte Halle", "das schwarze Wasser", "die tiefe Nacht", "das Echo im Beton"),
        },
    ),
    "fr": Language(
        verse=(
            "Je me souviens de tout, même {thing}",
            "Tu regardes {thing}",
            "On a perdu {thing}",
            "Demain, peut-être, {thing}",
            "Personne ne chante {thing}",
            "Je garde {thing} sous mon manteau",
        ),
        chorus=("Ô, rends-moi {thing}", "Encore une fois, {thing}", "Et nous dansons, {thing}"),
        items={
            "bright": ("la valse du matin", "le rire des enfants", "la lumière d'été", "le bal du dimanche"),
            "calm": ("la neige sur le jardin", "le silence du soir", "la fenêtre ouverte", "le sommeil des arbres"),
            "melancholic": ("la pluie de novembre", "le dernier train", "la lettre oubliée", "les roses fanées"),
            "driving": ("la nuit électrique", "le cœur qui bat", "la ville qui court", "le feu"),
            "dark": ("la maison vide", "le fleuve noir", "l'ombre du mur", "la cendre"),
        },
    ),
    "es": Language(
        verse=(
            "Todavía recuerdo {thing}",
            "Me llevaste a buscar {thing}",
            "Nadie conoce {thing} como tú",
            "Esta noche vuelve {thing}",
            "No me queda más que {thing}",
            "Bajo la piel me arde {thing}",
        ),
        chorus=("Ay, devuélveme {thing}", "Canta otra vez {thing}", "Para siempre {thing}"),
        items={
            "bright": ("la mañana de sol", "el baile en la playa", "la risa de abril", "el mar dorado"),
            "calm": ("la brisa del puerto", "la luna en la bahía", "el sueño del mar", "la tarde lenta"),
            "melancholic": ("la carta perdida", "el tren de las seis", "la lluvia en el patio", "el último adiós"),
            "driving": ("la autopista en llamas", "el corazón sin freno", "la noche eléctrica", "el trueno"),
            "dark": ("el faro roto", "la calle sin nombre", "el humo negro", "la sombra del motor"),
        },
    ),
    "pt": Language(
        verse=(
            "Ainda me lembro, {thing}",
            "Você me mostrou {thing}",
            "Ninguém conhece {thing} assim",
            "No violão eu guardo {thing}",
            "Devagar vem chegando {thing}",
            "Só me resta {thing}",
        ),
        chorus=("Ai, me devolve {thing}", "Canta de novo {thing}", "Pra sempre {thing}"),
        items={
            "bright": ("a manhã de sol", "o samba na areia", "o riso da menina", "a laranjeira em flor"),
            "calm": ("a brisa da tarde", "o luar na baía", "a rede na varanda", "o mar devagar"),
            "melancholic": ("a saudade do cais", "a última canção", "a chuva no telhado", "o adeus"),
            "driving": ("o carnaval", "o tambor da rua", "a cidade acesa", "o vento"),
            "dark": ("a noite sem estrelas", "o rio escuro", "a casa vazia", "a cinza"),
        },
    ),
    "ja": Language(
        verse=(
            "{thing}を探している",
            "君と見た{thing}",
            "今夜も{thing}が聞こえる",
            "ポケットの中に{thing}",
            "誰も知らない{thing}",
            "走れ、{thing}の向こうへ",
        ),
        chorus=("もう一度、{thing}", "さあ行こう、{thing}", "忘れないで、{thing}"),
        items={
            "bright": ("虹色のステージ", "金色のコイン", "はじまりの朝", "空飛ぶ城"),
            "calm": ("静かな海", "やさしい雨", "夢の中の庭", "眠る街"),
            "melancholic": ("最後のセーブ", "消えたランプ", "遠い夏", "古い手紙"),
            "driving": ("真夜中のレース", "終わらないゲーム", "光のトンネル", "燃えるエンジン"),
            "dark": ("黒い塔", "影の王国", "冷たい月", "閉じた門"),
        },
    ),
}

VERSIONS = (" (Live)", " [Remastered]", " (Acoustic)", " – Radio Edit", " [feat. MC Thistle]")
"""What stands behind some titles."""

CLUSTERS: dict[tuple[str, str], str] = {
    ("ambient", "calm"): "quiet hours",
    ("solo piano", "calm"): "quiet hours",
    ("ambient", "dark"): "basement",
    ("techno", "dark"): "basement",
    ("techno", "driving"): "night drive",
    ("drum and bass", "driving"): "night drive",
    ("drum and bass", "melancholic"): "liquid",
    ("chiptune", "bright"): "arcade",
    ("chiptune", "driving"): "arcade",
    ("solo piano", "melancholic"): "rainy window",
    ("string waltz", "melancholic"): "rainy window",
    ("string waltz", "bright"): "ballroom",
    ("rock", "bright"): "road trip",
    ("rock", "dark"): "leather jacket",
    ("bossa nova", "bright"): "beach bar",
    ("bossa nova", "calm"): "beach bar",
}
"""Who listens to what: the crowd of a genre in a mood. Some crowds keep to a genre, some follow a mood."""

CLUSTER_TITLES: dict[str, tuple[str, ...]] = {
    "quiet hours": ("Quiet Hours", "sleep", "Deep Focus 📚", "Sonntagmorgen"),
    "basement": ("BASEMENT", "4 am", "dunkel", "Warehouse Warmup"),
    "night drive": ("Night Drive", "Running 170 bpm", "Workout 💪", "autobahn"),
    "liquid": ("Liquid Sundays", "rollers", "rain on the M25"),
    "arcade": ("Arcade", "ゲーム音楽", "boss fight", "insert coin 🎮"),
    "rainy window": ("rainy window", "Chagrin", "autumn letters", "cry a little"),
    "ballroom": ("Ballroom", "Walzer!", "three four time"),
    "road trip": ("Road Trip", "windows down", "Dad rock", "carretera"),
    "leather jacket": ("Leather Jacket", "loud.", "garage sale"),
    "beach bar": ("Beach Bar", "Copacabana vibes", "caipirinha 🍹", "tarde de domingo"),
}
