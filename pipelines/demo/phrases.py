"""What people say in the demo's conversations, as data: requests by what is asked for, answers, occasions."""

REQUESTS: dict[str, tuple[str, ...]] = {
    "genre": (
        "I'd like some {tag}.",
        "Play me some {tag}, please.",
        "What {tag} do you have?",
        "Can you recommend good {tag}?",
        "I'm in the mood for {tag}.",
        "Where do I start with {tag}?",
        "{tag}, please.",
        "My sister swears by {tag}. What should I hear first?",
    ),
    "mood": (
        "I'd like some {mood} {tag}.",
        "Something {mood}, {tag} if you have it.",
        "Do you know any {tag} that is {mood}?",
        "{mood} {tag}, please.",
        "I feel {mood} today. Any {tag} for that?",
        "Is there {tag} that sounds {mood}?",
    ),
    "instrument": (
        "Something {mood} with {instrument}, please.",
        "I love the sound of {instrument}. Anything {mood}?",
        "What do you have with {instrument} in it that is {mood}?",
        "Find me music with {instrument}. It should be {mood}.",
        "More {instrument}! And {mood}, if you can.",
    ),
    "artist": (
        "What do you have by {artist}?",
        "Play {artist}.",
        "A friend told me about {artist}. Where do I start?",
        "I want to hear {artist} again.",
        "Which songs of {artist} do you recommend?",
        "Is there anything by {artist}?",
        "{artist}, please.",
    ),
    "occasion": (
        "I need music for {occasion}.",
        "What goes with {occasion}?",
        "Something for {occasion}, please.",
        "Tonight it's {occasion}. What shall we play?",
        "Any ideas for {occasion}?",
        "Help me with a list for {occasion}.",
    ),
    "like": (
        "Something like {track}, please.",
        "I can't stop playing {track}. What else is there?",
        "I like {track}. What else would I like?",
        "More songs like {track}?",
        "What do people play who love {track}?",
        "{track} is my favourite. What comes next?",
    ),
    "lyrics": (
        'What is the song that goes "{line}"?',
        'It has the line "{line}". Do you know it?',
        'I have "{line}" stuck in my head. Which song is that?',
        'Somebody sings "{line}". Who?',
        'Find me the one with "{line}" in it.',
    ),
}
"""First requests: what is asked for, and how."""

MORE = (
    "Thanks! Something else?",
    "More of that, please.",
    "Good. What else do you have?",
    "I know these already. Anything else?",
    "And another one?",
)
"""Requests for more of the same."""

LIKED = (
    "I like {track}. More of that kind?",
    "{track} is lovely. What goes with it?",
    "Yes, {track}! What else is like it?",
    "Let's go on from {track}.",
)
"""Requests for what is like a track that was recommended before."""

ANSWERS = (
    "Try {tracks}.",
    "Here you go: {tracks}",
    "How about {tracks}?",
    "You may like {tracks}.",
    "I'd play {tracks} for that.",
    "{tracks}",
)
"""Answers that name their tracks."""

BARE_ANSWERS = ("Here you go.", "Gladly.", "These should do.", "")
"""Answers beside which their tracks are given."""

OCCASIONS: dict[str, tuple[str, ...]] = {
    "quiet hours": ("falling asleep", "reading late at night", "deep focus", "a slow Sunday morning"),
    "basement": ("four in the morning", "a cellar without windows", "warming up a warehouse", "a dance in the dark"),
    "night drive": ("driving through the night", "a long run", "an empty autobahn", "lifting weights"),
    "liquid": ("rain on the motorway", "a lazy Sunday of rollers", "the last bus home"),
    "arcade": ("an evening of old video games", "beating the last boss", "a pixel art party", "inserting a coin"),
    "rainy window": ("watching the rain", "writing letters in autumn", "a good cry", "the end of November"),
    "ballroom": ("learning to waltz", "a ball in three four time", "a wedding in a castle"),
    "road trip": ("a road trip", "driving with the windows down", "a barbecue with Dad"),
    "leather jacket": ("a loud garage", "starting a band", "an old motorcycle"),
    "beach bar": ("a bar on the beach", "caipirinhas at sunset", "a Sunday afternoon in Copacabana"),
}
"""What a crowd's music is good for; crowds are those of ``words.CLUSTERS``."""
