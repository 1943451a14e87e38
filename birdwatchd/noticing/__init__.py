"""The folder is the label editor: what a person says by moving photos is noticed here and written down.

Everything is derived from two things, the log and what lies on the shelves, so it can be derived again: whoever dies half-way finds the
same at the next look. What the daemon moved itself is in the log already and says nothing. Events only say where to look; a comparison
of everything, at the start and now and then, is what correctness rests on. It works in slices, so that no photo in the inbox waits.

A photo is known by its content. A file whose content the log does not know is a new photo: it must have settled and be proved whole.

    agenda -> round: compare all, or look where hinted -> understanding -> words in the log
                       |                                   `-> newcomers settle -> bringing_in
                       `-> missing
"""

from birdwatchd.noticing.agenda import QUIET_S, RETRY_S
from birdwatchd.noticing.missing import AGAIN_S
from birdwatchd.noticing.round import Noticing

__all__ = ["AGAIN_S", "QUIET_S", "RETRY_S", "Noticing"]
