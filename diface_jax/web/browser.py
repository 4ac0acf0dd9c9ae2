"""Opens the page in the user's browser."""

import os
import sys
import threading
import webbrowser


def open_in_browser(address: str) -> bool:
    """Opens an address in a browser, if there is a screen to show one on; returns whether.

    A browser in the terminal would take the terminal over, so none is started.
    """
    has_screen = sys.platform in ('darwin', 'win32') or any(
        os.environ.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY')
    )
    if not has_screen:
        return False
    # The browser may take seconds to start, and the page must answer meanwhile.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return True
