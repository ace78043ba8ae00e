'use client';

import { App } from '../../react/App.jsx';

export default App;
