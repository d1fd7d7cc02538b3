export { write } from 'ringback:plugin/log@1.0.0';
