"""One abdomen, from which all virtual ones are made: its organs, where they lie, and their HU.

Positions are millimetres, x to the patient's right, y to the front, z up; the origin is the centre
of the first lumbar vertebra. Tubes are given by stations along them: x y z radius.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Organ = IntEnum(  # 0 is air
    "Organ",
    "SUBCUTANEOUS_FAT SKIN MUSCLE VISCERAL_FAT BONE MARROW DISC CANAL CARTILAGE LUNG HEART LIVER "
    "GALLBLADDER SPLEEN CORTEX MEDULLA SINUS ADRENAL STOMACH CHYME GAS DUODENUM BOWEL COLON STOOL "
    "AORTA CAVA PORTAL ARTERY PANCREAS DUCT TUMOUR TABLE",
)

# Hounsfield units in the portal-venous phase, drawn anew for every patient
HU = {
    Organ.SUBCUTANEOUS_FAT: (-110, -98),
    Organ.SKIN: (0, 30),
    Organ.MUSCLE: (52, 64),
    Organ.VISCERAL_FAT: (-106, -92),
    Organ.BONE: (550, 900),
    Organ.MARROW: (150, 230),
    Organ.DISC: (75, 100),
    Organ.CANAL: (25, 45),
    Organ.CARTILAGE: (90, 130),
    Organ.LUNG: (-870, -830),
    Organ.HEART: (125, 150),
    Organ.LIVER: (96, 119),
    Organ.GALLBLADDER: (5, 15),
    Organ.SPLEEN: (111, 129),
    Organ.CORTEX: (172, 198),
    Organ.MEDULLA: (132, 158),
    Organ.SINUS: (-90, -60),
    Organ.ADRENAL: (70, 95),
    Organ.STOMACH: (65, 85),
    Organ.CHYME: (2, 38),
    Organ.DUODENUM: (62, 80),
    Organ.BOWEL: (62, 80),
    Organ.COLON: (60, 78),
    Organ.STOOL: (0, 40),
    Organ.AORTA: (142, 163),
    Organ.CAVA: (142, 165),
    Organ.PORTAL: (150, 173),
    Organ.ARTERY: (140, 160),
    Organ.PANCREAS: (87, 108),
    Organ.DUCT: (8, 20),
}

GAS = -945.0  # HU, in the gut

# ---- the template --------------------------------------------------------------------------------


def _stations(text: str) -> NDArray[np.float64]:
    return np.array([station.split() for station in text.split(",")], float)


PANCREAS = _stations(
    "16 40 -34 8, 27 44 -26 14, 31 47 -12 15, 22 55 0 12, 8 61 7 8.5, -12 60 12 9, "
    "-34 46 17 10, -58 27 24 10, -78 8 32 9, -88 -4 37 7"
)
STOMACH = _stations(
    "-56 8 90 28, -64 28 66 27, -62 54 36 24, -46 70 8 22, -16 78 -8 19, 12 74 -4 14, 28 66 2 9"
)
DUODENUM = _stations(
    "28 66 2 9, 41 60 2 11, 53 46 -6 12, 55 36 -28 13, 48 32 -50 13, 24 34 -62 12, "
    "-4 41 -62 11, -28 42 -46 12, -38 56 -30 12"
)
COLON = _stations(
    "92 2 -135 25, 95 2 -95 24, 96 8 -62 23, 88 38 -48 23, 66 70 -50 21, 30 84 -54 19, "
    "-8 86 -56 19, -48 80 -42 20, -82 58 -12 20, -104 24 12 20, -106 2 -14 17, "
    "-106 -6 -60 15, -104 -4 -135 15"
)
AORTA = _stations("-14 14 140 12, -10 24 70 11.5, -8 29 30 10.5, -8 28 -40 9.5, -5 28 -140 8.5")
CAVA = _stations(
    "24 42 120 12, 25 34 85 12.5, 23 27 40 11.5, 21 25 0 11, 20 24 -60 11, 15 24 -140 10"
)
PORTAL_VEINS = (  # mesenteric, splenic and portal vein, its three branches; then hepatic veins
    _stations("9 49 -140 4, 10 50 -80 5, 10 50 -30 6, 10 50 2 7.5"),
    _stations("-88 -12 42 3.5, -60 14 25 4.2, -34 33 16 4.5, -10 47 9 5, 10 50 2 6"),
    _stations("10 50 2 7.5, 22 44 20 7.5, 38 34 40 7"),
    _stations("38 34 40 7, 62 22 46 5.5, 88 2 52 3"),
    _stations("62 22 46 5, 78 42 42 3.5, 92 50 30 2"),
    _stations("38 34 40 6.5, 22 50 54 5, 4 66 58 3.5, -16 80 66 2"),
    _stations("25 36 90 6, 54 12 88 5, 92 -6 70 3"),
    _stations("25 36 90 6, 46 44 86 5, 66 66 62 3"),
    _stations("25 38 92 5, 8 54 88 4, -14 74 76 2.5"),
)
RENAL_VEINS = (
    _stations("20 24 -6 6, 36 10 -12 5, 50 -8 -14 4"),
    _stations("20 26 0 5, -8 43 -4 3.8, -28 20 -2 5, -48 -8 0 4"),
)
ARTERIES = (
    _stations("-8 30 6 3.5, -4 46 0 3.8, -3 47 -30 3.5, 0 48 -80 3, 4 50 -140 2.5"),
    _stations("-8 30 18 3.5, -4 44 22 3.2, 14 48 22 2.8, 34 40 34 2.2"),
    _stations("-4 44 22 2.8, -30 40 24 2.6, -62 14 34 2.6, -88 -10 44 2.2"),
    _stations("-8 28 -4 3, 24 12 -10 2.6, 50 -8 -12 2.2"),
    _stations("-8 28 -4 3, -30 10 -2 2.6, -48 -8 0 2.2"),
)
ADRENALS = (
    _stations("32 4 62 2.6, 36 -12 56 2.6, 40 -26 48 2"),
    _stations("36 -8 58 2.4, 28 -22 50 2"),
    _stations("-28 12 48 2.8, -34 -2 44 2.8, -42 -16 36 2"),
    _stations("-33 0 45 2.4, -25 -14 38 2"),
)
PSOAS = _stations("27 -4 30 5, 32 -6 0 9, 38 -5 -40 15, 44 0 -90 20, 50 6 -140 22")
VERTEBRA = (  # rods of its arch on the right: start and end about its centre
    ((13, -14, 5, 5.5), (18, -26, 4, 5.5)),  # pedicle
    ((17, -26, 2, 5), (3, -41, -5, 4.5)),  # lamina
    ((0, -41, -4, 4), (0, -54, -8, 3.5)),  # spinous process
    ((0, -52, -7, 3.5), (0, -66, -12, 4.5)),
    ((19, -27, 3, 4.5), (43, -34, 4, 3.5)),  # transverse process
    ((20, -31, -15, 4.5), (18, -29, 14, 5)),  # joints with its neighbours
)
PITCH = 34.0  # mm from vertebra to vertebra
RIB_ENDS = np.array([0, 0, 1.15, 1.6, 2.1, 2.25, 2.35, 2.4, 2.5, 2.5])  # radians from the back
