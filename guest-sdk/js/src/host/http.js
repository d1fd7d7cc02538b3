export { send } from 'ringback:plugin/http@1.0.0';
