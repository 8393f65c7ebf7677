"""Addresses outside a brand: health, sign-in, brand chooser, REST API. A brand's console is `config.urls_console`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from console import sign_in
from console.platform import platform

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("config.urls_api")),
    path("", RedirectView.as_view(url="/brands/"), name="home"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("login/verify/", sign_in.verify, name="verify"),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
    path("account/two-factor/", sign_in.two_factor, name="two_factor"),
    path("account/password/", sign_in.ChangePassword.as_view(), name="change_password"),
    path("language/", sign_in.set_language, name="set_language"),
    path("brands/", sign_in.brands, name="brands"),
    path("brands/menu/", sign_in.brand_menu, name="brand_menu"),
    path("platform/", platform.urls),
]
handler404 = "console.errors.not_found"
handler403 = "console.errors.forbidden"
handler500 = "console.errors.broken"
