"""The doctor: looks at everything and says what to do, tries the walls, packs what a helper needs to know. Changes nothing."""

from birdwatchd.doctor.finding import Finding
from birdwatchd.doctor.findings import examine, kept_files, of_unit, of_walls
from birdwatchd.doctor.report import Part, pack, parts

__all__ = ["Finding", "Part", "examine", "kept_files", "of_unit", "of_walls", "pack", "parts"]
