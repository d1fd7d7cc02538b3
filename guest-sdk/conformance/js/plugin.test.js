import { test } from 'node:test';
import { check } from '@ringback/plugin/testing';
import * as plugin from './plugin.js';

for (const one of plugin.vectors) test(one.name, () => check(plugin, one));
