export { get as getState, remove as removeState, set as setState } from 'ringback:plugin/state@1.0.0';
