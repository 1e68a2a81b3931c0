// The settings of a kiosk: back to the kiosk's page once the operator's time is over.

const GLANCE = 2000; // ms

async function look() {
  try {
    const answer = await fetch("/api/state");
    if (answer.ok && (await answer.json()).kiosk?.phase !== "operator") location.replace("/");
  } catch {
    // livestyle is away for a moment
  }
}

setInterval(look, GLANCE);
