export { now, random } from 'ringback:plugin/call@1.0.0';
