"""A person's privacy on one page: what they want, what they have said, what they ask for, and what holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldAdminTimeWidget

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.labels import source_label
from console.registry import Page, Panel, pages, panels
from console.site import page_response
from members import selectors, services
from members.admin.holds import opt_outs
from members.choices import PERSONAL, QUIET
from members.models import Consent, ErasureClock, ErasureState, LegalHold, Member, RequestKind, RightsRequest

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

CHANNEL = "CONSOLE"
STATEMENTS = 50


class WantsForm(forms.Form):
    """What a person wants, as they tell it to somebody of the brand."""

    topics = forms.MultipleChoiceField(
        label=gettext_lazy("Topics they want to hear about"), required=False, widget=forms.CheckboxSelectMultiple
    )
    ways = forms.MultipleChoiceField(
        label=gettext_lazy("Ways they want offers and news by"), required=False, widget=forms.CheckboxSelectMultiple
    )
    quiet_from = forms.TimeField(
        label=gettext_lazy("Quiet from"), required=False, widget=UnfoldAdminTimeWidget(attrs={"type": "time"})
    )
    quiet_until = forms.TimeField(
        label=gettext_lazy("Quiet until"), required=False, widget=UnfoldAdminTimeWidget(attrs={"type": "time"})
    )
    personal = forms.BooleanField(
        label=gettext_lazy("Personalised messages"),
        required=False,
        help_text=gettext_lazy("Off: no audience chosen by what they are or did, no automatic tags (PIPL art. 24)."),
    )
    under_14 = forms.BooleanField(
        label=gettext_lazy("Under 14"), required=False, help_text=gettext_lazy("No marketing without a guardian.")
    )

    def __init__(self, *args: Any, wants: selectors.Preferences, **kwargs: Any) -> None:
        """Offer the brand's topics and the ways there are."""
        super().__init__(*args, **kwargs)
        self.fields["topics"].choices = [(code, name) for code, name, _meaning, _yes in wants.topics]  # type: ignore[attr-defined]
        self.fields["ways"].choices = [(key, name) for key, name, _meaning, _yes in wants.ways]  # type: ignore[attr-defined]
        if not wants.topics:
            del self.fields["topics"]


class AskForm(forms.Form):
    """A request that somebody makes in a shop or on the phone."""

    kind = forms.ChoiceField(label=gettext_lazy("They ask for"), choices=RequestKind.choices)
    words = forms.CharField(
        label=gettext_lazy("In their words"), required=False, max_length=200, widget=UnfoldAdminTextInputWidget()
    )


def person_privacy(request: HttpRequest, pk: int) -> HttpResponse:
    """Show and change what holds for one person."""
    viewer = viewer_of(request)
    member = selectors.records_within(viewer).filter(pk=pk).first()
    if member is None:
        raise Http404
    services.note_opened(member_id=member.pk, page="privacy", at=now())
    wants = selectors.preferences_of(member.pk)
    form, asking = WantsForm(initial=_initial(wants), wants=wants), AskForm()
    if request.method == "POST":
        viewer.require("members.edit")
        act = request.POST.get("act")
        if act == "wants":
            form = WantsForm(request.POST, wants=wants)
        elif act == "ask":
            asking = AskForm(request.POST)
        try:
            if _done(request, member, act or "", form, asking, wants):
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(request.path)
        except AppError as error:
            target = asking if act == "ask" else form
            target.add_error(None, f"{error.message} {error.hint}".strip())
    return page_response(
        request,
        "members/privacy/person.html",
        _context(member, form, asking, can_edit=viewer.can("members.edit"), can_hold=viewer.can("privacy.edit")),
        status=422 if form.errors or asking.errors else 200,
    )


def _initial(wants: selectors.Preferences) -> dict[str, Any]:
    return {
        "topics": [code for code, _name, _meaning, yes in wants.topics if yes],
        "ways": [key for key, _name, _meaning, yes in wants.ways if yes],
        "quiet_from": wants.quiet[0] if wants.quiet else None,
        "quiet_until": wants.quiet[1] if wants.quiet else None,
        "personal": wants.personal,
        "under_14": wants.minor,
    }


def _done(
    request: HttpRequest, member: Member, act: str, form: WantsForm, asking: AskForm, wants: selectors.Preferences
) -> bool:
    viewer, at = viewer_of(request), now()
    if act == "wants" and form.is_valid():
        given = form.cleaned_data
        begins, ends = given["quiet_from"], given["quiet_until"]
        services.set_preferences(
            member=member,
            channel=CHANNEL,
            source=f"staff: {viewer.label}"[:40],
            at=at,
            topics={code: code in given.get("topics", ()) for code, _name, _meaning, _yes in wants.topics},
            ways={key: key in given["ways"] for key, _name, _meaning, _yes in wants.ways},
            personal=given["personal"],
            quiet=services.Quiet(begins, ends) if begins and ends else None,
            no_quiet=not (begins and ends),
        )
        services.set_minor(member=member, under_14=given["under_14"], at=at)
        return True
    if act == "ask" and asking.is_valid():
        services.ask(member=member, channel=CHANNEL, by=viewer.label, at=at, **asking.cleaned_data)
        return True
    if act in ("hold", "end_hold"):
        viewer.require("privacy.edit")
        if act == "hold":
            services.hold_member(member=member, reason=request.POST.get("text", ""), by=viewer.label, at=at)
        else:
            services.end_hold(member=member, at=at)
        return True
    return False


def _context(member: Member, form: WantsForm, asking: AskForm, *, can_edit: bool, can_hold: bool) -> dict[str, Any]:
    said = list(Consent.objects.filter(member=member).order_by("-at", "-pk")[:STATEMENTS])
    words = selectors.purpose_words({row.purpose for row in said})
    person = selectors.person_of(member.pk)
    clocks = ErasureClock.objects.filter(follower__in=person.follower_ids, state=ErasureState.RUNNING)
    return {
        "title": _("Privacy of “%(name)s”") % {"name": member.name or member.member_no},
        "zy_object": member,
        "zy_deeper": True,
        "member": member,
        "form": form,
        "asking": asking,
        "can_edit": can_edit,
        "can_hold": can_hold,
        "said": [{"row": row, "words": words[row.purpose], "source": source_label(row.source)} for row in said],
        "requests": RightsRequest.objects.filter(member=member).order_by("-asked_at", "-pk")[:20],
        "hold": LegalHold.objects.filter(member=member, ended_at=None).first(),
        "clocks": clocks.order_by("due_at", "pk"),
        "back": reverse("admin:members_member_change", args=[member.pk]),
        "decisions": reverse("admin:members_member_decisions", args=[member.pk]),
    }


_PAGE = Page("members/privacy/<int:pk>/", person_privacy, "members_member_privacy", "members")
pages.register(_PAGE.name, _PAGE)


@panels.add("members.privacy")
def privacy_panel(member: Member, request: HttpRequest) -> Panel | None:
    """Say on a member's card what they want and what they ask for, with the way to the page."""
    known = opt_outs(member)
    rows: list[dict[str, Any]] = []
    if any(row.minor for row in known.values()):
        rows.append({"label": _("Under 14"), "value": _("no marketing without a guardian")})
    words = selectors.purpose_words(key for key in known if key.startswith(("TOPIC:", "CARRIER:")))
    if words:
        rows.append({"label": _("Does not want"), "value": _(", ").join(words[key] for key in sorted(words))})
    quiet = known.get(QUIET)
    if quiet is not None and quiet.quiet_from and quiet.quiet_until:
        rows.append({"label": _("Quiet hours"), "value": f"{quiet.quiet_from:%H:%M}～{quiet.quiet_until:%H:%M}"})
    if PERSONAL in known:
        rows.append({"label": _("Personalised messages"), "value": _("turned off")})
    link = reverse("admin:members_member_privacy", args=[member.pk])
    rows.append({"label": _("Privacy"), "value": _("preferences, statements, requests"), "link": link})
    why = reverse("admin:members_member_decisions", args=[member.pk])
    rows.append({"label": _("Automated decisions"), "value": _("which were made, and why"), "link": why})
    return Panel(_("Message preferences"), "console/panel_facts.html", {"rows": rows}, order=84)
