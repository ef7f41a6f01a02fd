"""Where a telephone number may be: its jurisdictions and every time zone, from its leading digits alone.

For calling windows and packs when nothing better is known about a subject. Wrong in one direction only: a set that is
too large, or unknown, blocks; a set that is too small would let a call through at night. So a number the data does not
place is in every zone of its country; and a zone that is not in the `tzdata` package, or not in the number's country,
makes the whole answer unknown (SEMANTICS rule 11).

Must never guess a country for a number without one, and never parse with `phonenumbers` itself (80 µs a number): the
walk below reads the library's prefix data directly, and a property test holds it against the library.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from importlib import resources

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType, is_number_type_geographical

from contactgate.model.places import part_of
from contactgate.model.zone_data import LONGEST_PREFIX, PREFIX_ZONES

_REGIONS: dict[str, tuple[str, ...]] = {
    str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() if regions[0] != "001"
}
"""Calling code -> ISO countries that share it, the main one first; the non-geographical codes (`001`) are left out."""

# Each line: place, then its area codes. Derived from phonenumbers 9.0.43 (geocoder data and number metadata) and held
# against the installed version by a test; the geocoder itself costs half a second and 100 MB to load.
_NANP_TABLE = """
US-AK 907
US-AL 205 251 256 334 659 938
US-AR 327 479 501 870
US-AZ 480 520 602 623 928
US-CA 209 213 279 310 323 341 350 369 408 415 424 442 510 530 559 562 619 626 628 650 657 661 669 707
US-CA 714 738 747 760 805 818 820 831 840 858 909 916 925 949 951
US-CO 303 719 720 748 970 983
US-CT 203 475 860 959
US-DC 202 771
US-DE 302
US-FL 239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 904 941 954
US-GA 229 404 470 478 678 706 762 770 912 943
US-HI 808
US-IA 319 515 563 641 712
US-ID 208 986
US-IL 217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 872
US-IN 219 260 317 463 574 765 812 930
US-KS 316 620 785 913
US-KY 270 364 502 606 859
US-LA 225 318 337 504 985
US-MA 339 351 413 508 617 774 781 857 978
US-MD 227 240 301 410 443 667
US-ME 207
US-MI 231 248 269 313 517 586 616 734 810 906 947 989
US-MN 218 320 507 612 651 763 952
US-MO 235 314 417 557 573 636 660 816 975
US-MS 228 601 662 769
US-MT 406
US-NC 252 336 472 704 743 828 910 919 980 984
US-ND 701
US-NE 308 402 531
US-NH 603
US-NJ 201 551 609 640 732 848 856 862 908 973
US-NM 505 575
US-NV 702 725 775
US-NY 212 315 329 332 347 363 516 518 585 607 631 646 680 716 718 838 845 914 917 929 934
US-OH 216 220 234 283 326 330 380 419 440 513 567 614 740 937
US-OK 405 539 572 580 918
US-OR 458 503 541 971
US-PA 215 223 267 272 412 445 484 570 582 610 717 724 814 835 878
US-RI 401
US-SC 803 821 839 843 854 864
US-SD 605
US-TN 423 615 629 731 865 901 931
US-TX 210 214 254 281 325 346 361 409 430 432 469 512 682 713 726 737 806 817 830 832 903 915 936 940
US-TX 945 956 972 979
US-UT 385 435 801
US-VA 276 434 540 571 686 703 757 804 826 948
US-VT 802
US-WA 206 253 360 425 509 564
US-WI 262 274 353 414 534 608 715 920
US-WV 304 681
US-WY 307
AG 268
AI 264
AS 684
BB 246
BM 441
BS 242
CA 204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450
CA 468 474 506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807
CA 819 825 867 873 879 902 905 942
DM 767
DO 809 829 849
GD 473
GU 671
JM 658 876
KN 869
KY 345
LC 758
MP 670
MS 664
PR 787 939
SX 721
TC 649
TT 868
VC 784
VG 284
VI 340
"""

# Places with a code of their own where the law of another country applies too (ISO 3166-2 lists them under it).
_ALSO: dict[str, tuple[str, ...]] = {
    **{code: ("US", f"US-{code}") for code in ("AS", "GU", "MP", "PR", "VI")},
    **dict.fromkeys(("BL", "GF", "GP", "MF", "MQ", "PM", "RE", "YT"), ("FR",)),
}

# Places that phonenumbers has a code for and ISO 3166 (so tzdata) files under another.
_FILED_UNDER = {"AC": "SH", "TA": "SH"}

_SPECIAL = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")


def _read_nanp() -> dict[str, str]:
    rows = [line.split() for line in _NANP_TABLE.strip().splitlines()]
    return {code: place for place, *codes in rows for code in codes}


NANP_PLACES: dict[str, str] = _read_nanp()
"""North American area code -> ISO code of its place: a country, or a US state."""


_NANP_HEAD = max(len(prefix) for prefix in PREFIX_ZONES if prefix.startswith("1"))


def _calling_code(digits: str) -> str | None:
    for length in (1, 2, 3):
        if digits[:length] in _REGIONS:
            return digits[:length]
    return None


@lru_cache(maxsize=2_048)
def _nanp_jurisdictions(area: str) -> tuple[str, ...]:
    place = NANP_PLACES.get(area)
    if place is None:
        return ()
    return ("US", place) if place.startswith("US-") else (place, *_ALSO.get(place, ()))


def number_jurisdictions(e164: str) -> tuple[str, ...]:
    """ISO 3166 codes of the places whose law the number may be under, country first (`('US', 'US-FL')`); () if unknown.

    A North American number without a known area code (toll-free, premium) is of no known country. `e164` must be
    canonical, as `contactgate.model.address.normalise` returns it.
    """
    digits = e164[1:]
    code = _calling_code(digits)
    if code is None:
        return ()
    if code == "1":
        return _nanp_jurisdictions(digits[1:4]) if len(digits) == 11 else ()
    if code == "7":
        return ("KZ",) if digits[1:2] in {"6", "7"} else ("RU",)
    country = _REGIONS[code][0]
    if code in {"33", "49"} and (part := part_of(digits)):
        return (country, part)
    return (country, *_ALSO.get(country, ()))


@lru_cache(maxsize=1)
def _zone_countries() -> dict[str, frozenset[str]]:
    """Zone name -> ISO countries it is used in; only zones that the tzdata package can load and places somewhere."""
    package = resources.files("tzdata")
    countries: defaultdict[str, set[str]] = defaultdict(set)
    for table in ("zone.tab", "zone1970.tab"):
        for line in (package / "zoneinfo" / table).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                codes, _, name = line.split("\t")[:3]
                countries[name].update(codes.split(","))
    for line in (package / "zoneinfo" / "tzdata.zi").read_text(encoding="utf-8").splitlines():
        if line.startswith("L "):
            _, target, alias = line.split()
            if alias not in countries and target in countries:
                countries[alias] = countries[target]
    loadable = set((package / "zones").read_text(encoding="utf-8").split())
    return {name: frozenset(codes) for name, codes in countries.items() if name in loadable}


@lru_cache(maxsize=512)
def _checked(zones: frozenset[str], countries: frozenset[str]) -> tuple[str, ...]:
    """The zones, sorted; () if one of them cannot be loaded or is in none of the countries."""
    known = _zone_countries()
    allowed = {_FILED_UNDER.get(country, country) for country in countries}
    if all(known.get(zone, frozenset()) & allowed for zone in zones):
        return tuple(sorted(zones))
    return ()


@lru_cache(maxsize=2_048)
def _zones_below(prefix: str) -> frozenset[str]:
    """Every zone the data gives for numbers that start with the prefix."""
    return frozenset(zone for key, zones in PREFIX_ZONES.items() if key.startswith(prefix) for zone in zones)


def _longest(digits: str) -> str:
    for length in range(LONGEST_PREFIX, 0, -1):
        if digits[:length] in PREFIX_ZONES:
            return digits[:length]
    return ""


@lru_cache(maxsize=256)
def _country_level(code: str, country: str | None) -> tuple[str, ...]:
    """Every zone of a calling code; of one country's part of it if that is known."""
    zones = frozenset(PREFIX_ZONES.get(code, ()))
    countries = frozenset(_REGIONS[code])
    if country is not None:
        known = _zone_countries()
        others = countries - {country}
        # Only the zones of the other countries that share the code go; a foreign zone stays and makes it unknown.
        zones = frozenset(z for z in zones if country in known.get(z, ()) or not known.get(z, frozenset()) & others)
    return _checked(zones, countries)


@lru_cache(maxsize=256)
def _geographic(code: str) -> re.Pattern[str] | None:
    """Matches national numbers that stand for a place; None if all zones of the code are the same set."""
    if all(frozenset(PREFIX_ZONES[code]) == frozenset(v) for k, v in PREFIX_ZONES.items() if k.startswith(code)):
        return None
    mobile = is_number_type_geographical(PhoneNumberType.MOBILE, int(code))
    placed: list[str] = []
    special: list[str] = []
    for region in _REGIONS[code]:
        metadata = PhoneMetadata.metadata_for_region(region)
        for kinds, patterns in ((("fixed_line", "mobile") if mobile else ("fixed_line",), placed), (_SPECIAL, special)):
            for kind in kinds:
                pattern = getattr(getattr(metadata, kind), "national_number_pattern", None)
                if pattern:
                    patterns.append(f"(?:{pattern})")
    return re.compile(f"(?!(?:{'|'.join(special) or '(?!)'})$)(?:{'|'.join(placed) or '(?!)'})")


@lru_cache(maxsize=16_384)
def _north_american(head: str) -> tuple[str, ...]:
    """Zones of the numbers of an area code's exchange, from the digits that the data tells apart."""
    area = head[1:4]
    place = NANP_PLACES.get(area)
    if place is None:
        return _country_level("1", None)
    country = place[:2]  # of `US-FL` too
    prefix = _longest(head)
    # An exchange the data does not list may be anywhere in its area code: the area code's own entry names only the
    # largest part (850 is listed as New York; Pensacola is in Chicago's zone).
    zones = frozenset(PREFIX_ZONES[prefix]) if len(prefix) > 4 else _zones_below("1" + area)
    return _checked(zones, frozenset((country,))) if zones else _country_level("1", country)


def number_zones(e164: str) -> tuple[str, ...]:
    """Every IANA time zone the number may be in, sorted; () when unknown. `e164` must be canonical.

    A mobile, toll-free or otherwise unplaced number is in every zone of its country. North American mobile numbers are
    placed by their area code, as the library does.
    """
    digits = e164[1:]
    code = _calling_code(digits)
    if code is None or code not in PREFIX_ZONES:
        return ()
    if code == "1":
        return _north_american(digits[:_NANP_HEAD]) if len(digits) == 11 else _country_level("1", None)
    country = number_jurisdictions(e164)[0] if code == "7" else None
    pattern = _geographic(code)
    if pattern is None or pattern.fullmatch(digits[len(code) :]) is None:
        return _country_level(code, country)
    return _checked(frozenset(PREFIX_ZONES[_longest(digits)]), frozenset(_REGIONS[code]))
