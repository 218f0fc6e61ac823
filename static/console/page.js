// Pages without a stream: their times, countdowns and keys.

import "./common.js";
