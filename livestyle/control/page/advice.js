// What to do about a source or a sink that is in trouble.

const TROUBLE = /lost|stall|error|fail|retry|again|reconnect|closed|waiting|unavailable/i;

const ADVICE = [
  [/^source$/, /^failed/i, "The source has ended for good. Start livestyle again; 'livestyle doctor' lists the sources that work here."],
  [/^source$/, /./, "livestyle opens it again by itself. Check the cable, whether another program holds the camera, or whether the sender of the stream is running."],
  [/^rtmps?(:|$)/i, /./, "livestyle connects again by itself. Check that the server runs, the network, and the key in the address."],
  [/virtual/i, /./, "Close what else uses the virtual camera, then start livestyle again; 'livestyle doctor' tells how to make one."],
  [/\.(mp4|mov|mkv|flv)$/i, /./, "Check the free space and the permissions of its folder. What was recorded is kept beside it, with .part in its name."],
  [/./, /./, "The other sinks go on. 'livestyle doctor' tells what this one needs."],
];

export const isTrouble = (status) => TROUBLE.test(status);

/** One or two sentences, "" where nothing is wrong. */
export function adviceFor(name, status) {
  if (!isTrouble(status)) return "";
  return ADVICE.find(([names, statuses]) => names.test(name) && statuses.test(status))[2];
}
