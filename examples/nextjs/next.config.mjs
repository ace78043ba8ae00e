import { join } from 'node:path';

/** @type {import('next').NextConfig} */
export default {
  output: 'export', // a static site; leave it out for a server
  turbopack: { root: join(import.meta.dirname, '../..') }, // where node_modules lies
};
