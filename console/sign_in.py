"""Signing in and out, the second factor, the language, and the choice of a brand: pages outside any brand."""

from __future__ import annotations

import time
from base64 import b32encode
from binascii import unhexlify
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import django_otp
from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.core import signing
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from django_otp import user_has_device
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from accounts.roles import Role
from accounts.selectors import brands_of
from console.code import code_svg
from console.http import safe_next

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from accounts.models import StaffUser

KEY_SALT = "console.two_factor"
KEY_MINUTES = 30


class SignInForm(AuthenticationForm):
    """Name and password; a refusal does not say which of the two was wrong."""

    username = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "username", "autocapitalize": "none"}),
    )
    error_messages = {
        "invalid_login": gettext_lazy(
            "Cannot sign in. The user name or the password is wrong, or the account is closed."
        ),
        "inactive": gettext_lazy("Cannot sign in. The user name or the password is wrong, or the account is closed."),
    }


class SignIn(LoginView):
    """Sign in with name and password; goes on to the second factor or to the brands."""

    template_name = "registration/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        """Go to the choice of brands."""
        return settings.LOGIN_REDIRECT_URL


class SignOut(LogoutView):
    """Sign out and show the sign-in page."""

    next_page = settings.LOGIN_URL


class ChangePassword(PasswordChangeView):
    """Change one's own password."""

    template_name = "registration/password.html"
    success_url = settings.LOGIN_REDIRECT_URL

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ask for the second factor first: who has only found out the password must not be able to change it."""
        away = second_factor_required(request)
        return away if away is not None else super().dispatch(request, *args, **kwargs)


class DigitsForm(forms.Form):
    """Six digits of an authenticator app, checked against the person's device or a key that is being enrolled."""

    digits = forms.CharField(
        label=gettext_lazy("Six digits"),
        max_length=8,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}),
    )

    def clean_digits(self) -> str:
        """Take digits only."""
        digits = "".join(character for character in self.cleaned_data["digits"] if character.isdigit())
        if len(digits) != 6:
            raise forms.ValidationError(_("Enter all six digits."))
        return digits


@login_required
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor of a person who has one."""
    target = safe_next(request, settings.LOGIN_REDIRECT_URL)
    if not needs_second_factor(request):
        return HttpResponseRedirect(target)
    form = DigitsForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        device = django_otp.match_token(request.user, form.cleaned_data["digits"])
        if device is not None:
            django_otp.login(request, device)
            return HttpResponseRedirect(target)
        form.add_error(None, _("These digits are not right, or were used already. Wait for the next ones."))
    return render(request, "registration/verify.html", {"form": form, "next": target})


def needs_second_factor(request: HttpRequest) -> bool:
    """Say whether the person has a second factor that this session has not passed."""
    user: Any = request.user  # the middleware of django-otp adds `is_verified`
    return bool(user_has_device(user)) and not user.is_verified()


def second_factor_required(request: HttpRequest) -> HttpResponse | None:
    """Send people with an unverified second factor to it; None when they may go on."""
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}")
    if needs_second_factor(request):
        return HttpResponseRedirect(f"/login/verify/?{urlencode({'next': request.get_full_path()})}")
    return None


@login_required
def two_factor(request: HttpRequest) -> HttpResponse:
    """Turn the second factor on (with a fresh key shown as a code) or off (with its digits)."""
    away = second_factor_required(request)
    if away is not None:
        return away
    form = DigitsForm(request.POST if request.method == "POST" else None)
    if user_has_device(request.user):
        return _remove(request, form)
    key = _enrolling_key(request)
    if request.method == "POST" and form.is_valid():
        step = matching_step(key, form.cleaned_data["digits"])
        if step is not None:
            # `last_t` keeps the digits that enrolled the device from being used once more to sign in.
            device = TOTPDevice.objects.create(user=request.user, name="TOTP", key=key, confirmed=True, last_t=step)
            django_otp.login(request, device)
            return HttpResponseRedirect(request.path)
        form.add_error(None, _("These digits do not match the key. Check that the phone's clock is right."))
    shown = b32encode(unhexlify(key)).decode()
    context = {
        "enrolled": False,
        "form": form,
        "key": " ".join(shown[start : start + 4] for start in range(0, len(shown), 4)),
        "code": code_svg(TOTPDevice(user=request.user, key=key).config_url),
        "signed_key": signing.dumps({"key": key, "user": request.user.pk}, salt=KEY_SALT),
    }
    return render(request, "registration/two_factor.html", context)


def matching_step(key: str, digits: str) -> int | None:
    """Give the time step in which a key shows these digits (now, or one step off), or None.

    Not asked of the device itself: a device saves itself when digits are wrong, and this one does not exist yet.
    """
    code = TOTP(unhexlify(key))
    code.time = time.time()
    return int(code.t()) if code.verify(int(digits), tolerance=1) else None


def _remove(request: HttpRequest, form: DigitsForm) -> HttpResponse:
    if request.method == "POST" and request.POST.get("act") == "remove" and form.is_valid():
        if django_otp.match_token(request.user, form.cleaned_data["digits"]) is not None:
            TOTPDevice.objects.filter(user=request.user).delete()
            return HttpResponseRedirect(request.path)
        form.add_error(None, _("These digits are not right, or were used already. Wait for the next ones."))
    return render(request, "registration/two_factor.html", {"enrolled": True, "form": form})


def _enrolling_key(request: HttpRequest) -> str:
    """Give the key the person is enrolling: the one shown before, if this person was shown it lately."""
    try:
        kept = signing.loads(request.POST.get("signed_key", ""), salt=KEY_SALT, max_age=KEY_MINUTES * 60)
    except signing.BadSignature:
        return str(random_hex(20))
    return str(kept["key"] if kept["user"] == request.user.pk else random_hex(20))


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Keep the language a person chose: on their account when signed in, in a cookie anyway."""
    language = request.POST.get("language", "")
    response = HttpResponseRedirect(safe_next(request, settings.LOGIN_REDIRECT_URL))
    if language in dict(settings.LANGUAGES):
        if request.user.is_authenticated:
            get_user_model().objects.filter(pk=request.user.pk).update(language=language)
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, language, max_age=365 * 86_400, samesite="Lax")
    return response


def brands(request: HttpRequest) -> HttpResponse:
    """Let the person choose a brand; with only one, go there."""
    away = second_factor_required(request)
    if away is not None:
        return away
    rows = _brand_rows(request)
    if len(rows) == 1 and not request.user.is_superuser and "stay" not in request.GET:
        return HttpResponseRedirect(f"/b/{rows[0]['slug']}/")
    return render(request, "registration/brands.html", {"brands": rows})


def brand_menu(request: HttpRequest) -> HttpResponse:
    """Give the brands for the switch in the sidebar."""
    if second_factor_required(request) is not None:
        return HttpResponse(status=403)
    context = {"brands": _brand_rows(request), "current": request.GET.get("current", "")}
    return render(request, "registration/brand_menu.html", context)


def _brand_rows(request: HttpRequest) -> list[dict[str, Any]]:
    english = getattr(request, "LANGUAGE_CODE", "").startswith("en")
    return [
        {
            "slug": brand.slug,
            "name": (brand.name_en if english else "") or brand.name,
            "role": Role(role).label if role in Role.values else role,
        }
        for brand, role in brands_of(cast("StaffUser", request.user))
    ]
