/** Why a plugin could not do its work. */
export class Failure extends Error {
  constructor(code, message, { retryable = false, pointer, detail } = {}) {
    super(message);
    this.name = 'Failure';
    this.code = code;
    this.retryable = retryable;
    this.pointer = pointer;
    this.detail = detail;
  }
}

/** Does what a host function does, whose failure is thrown as it came. */
export function asked(work) {
  try {
    return work();
  } catch (thrown) {
    const failure = thrown?.payload ?? thrown;
    if (failure instanceof Error || typeof failure?.code !== 'string') throw thrown;
    const { code, message, retryable, pointer, detail } = failure;
    throw new Failure(code, message, { retryable, pointer: pointer ?? undefined, detail: detail ?? undefined });
  }
}
