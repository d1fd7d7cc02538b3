// Behind the sources of QuickJS, which know this and tell nobody.

// Whether a module imports something by this name, or all that there is under another.
bool JS_ModuleImports(JSContext *ctx, JSModuleDef *module, const char *name) {
    JSAtom wanted = JS_NewAtom(ctx, name);
    bool found = false;
    for (int i = 0; i < module->import_entries_count; i++) {
        JSAtom imported = module->import_entries[i].import_name;
        found |= imported == wanted || imported == JS_ATOM__star_;
    }
    JS_FreeAtom(ctx, wanted);
    return found;
}
