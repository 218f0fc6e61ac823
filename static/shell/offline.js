// The page without a network: goes on to the app as soon as there is one.

window.addEventListener("online", () => location.replace("/app/"));
