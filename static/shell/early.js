// Before the first paint: the view that this phone will want, so that what is painted first is of use.
// Everything else can wait for the modules.

(() => {
  let token = "";
  try {
    token = localStorage.getItem("liverelay.token") ?? "";
  } catch {
    // a private window; views.js will know
  }
  const { hash } = location;
  const paired = hash === "#settings" ? "settings" : "relay";
  document.documentElement.dataset.view = token && !hash.startsWith("#pair=") ? paired : "pairing";
})();
