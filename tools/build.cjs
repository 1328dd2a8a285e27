// npm run build: compiles src/ to dist/.
'use strict';
require('./setup.cjs').build();
