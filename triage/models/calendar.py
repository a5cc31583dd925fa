"""When people work: opening hours, public holidays and closures in a time zone, in immutable versions.

What a version says is also kept as what follows from it: its open intervals and its days in absolute time. An update of the time
zone data or of the holidays moves no due date; only a new version does.
"""

from django.db import models


class Calendar(models.Model):
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name or self.slug


class CalendarVersion(models.Model):
    """A published state of a calendar. Never edited: a change is a new version, the one of the highest number is in force.

    `hours`: {"mon": [["09:00", "12:30"], …], …} in local time; "22:00" to "06:00" ends on the next day. `country`, `subdivision`:
    ISO 3166 codes as `holidays` knows them, '' for no public holidays. `closures`: [[first day, last day, name], …]. `holidays`:
    [[day, name], …] as they were known then. `tzdata`, `library`: versions of the data behind it. `first`, `last`: days covered.
    """

    calendar = models.ForeignKey(Calendar, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    published_at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    reason = models.CharField(max_length=500, blank=True)
    time_zone = models.CharField(max_length=60)
    hours = models.JSONField()
    country = models.CharField(max_length=2, blank=True)
    subdivision = models.CharField(max_length=10, blank=True)
    closures = models.JSONField(default=list)
    holidays = models.JSONField(default=list)
    tzdata = models.CharField(max_length=20)
    library = models.CharField(max_length=20, blank=True)
    first = models.DateField()
    last = models.DateField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["calendar", "number"], name="one_calendar_version_per_number"),)

    def __str__(self) -> str:
        return f"{self.calendar} v{self.number}"


class OpenInterval(models.Model):
    """Hours in which a calendar is open, without a break. `opens`, `closes`: µs since 1970 UTC. `before`: open µs before it."""

    version = models.ForeignKey(CalendarVersion, models.PROTECT, db_index=False, related_name="intervals")
    opens = models.BigIntegerField()
    closes = models.BigIntegerField()
    before = models.BigIntegerField()

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(opens__lt=models.F("closes")), name="interval_in_order"),)
        indexes = (
            models.Index(fields=["version", "opens"], name="interval_opens", include=["closes", "before"]),
            models.Index(fields=["version", "before"], name="interval_before", include=["opens", "closes"]),
        )


class CalendarDay(models.Model):
    """A local day of a calendar's time zone. `number`: contiguous. `starts`: µs since 1970 UTC."""

    version = models.ForeignKey(CalendarVersion, models.PROTECT, db_index=False, related_name="days")
    number = models.IntegerField()
    starts = models.BigIntegerField()

    class Meta:
        indexes = (
            models.Index(fields=["version", "starts"], name="day_starts", include=["number"]),
            models.Index(fields=["version", "number"], name="day_number", include=["starts"]),
        )
